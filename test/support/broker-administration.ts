// An administration client on a local broker, over plain HTTP: the client itself knows https alone.
import { ServiceBusAdministrationClient } from "@azure/service-bus";
import type { Broker } from "#load/broker/broker.ts";

export function administrationOf(broker: Broker): ServiceBusAdministrationClient {
  const client = new ServiceBusAdministrationClient(broker.connectionString, { retryOptions: { maxRetries: 0 } });
  client.pipeline.addPolicy({
    name: "plainHttp",
    sendRequest: (request, next) => {
      request.url = request.url.replace(/^https:/, "http:");
      request.allowInsecureConnection = true;
      return next(request);
    },
  });
  return client;
}
