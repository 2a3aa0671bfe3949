// The certificate for TLS: the one that was given, or one that the broker makes for itself when the first client asks for TLS.
import { generate } from "selfsigned";

export interface Certificate {
  /** Both PEM. */
  readonly cert: string;
  readonly key: string;
}

const validMs = 365 * 86_400_000;

/** Makes a certificate for this machine. It signs itself, so clients that check must be told to trust it. */
export async function makeCertificate(host: string): Promise<Certificate> {
  const addresses = [...new Set(["127.0.0.1", "::1", ...(/^[\d.]+$|:/.test(host) ? [host] : [])])];
  const names = [...new Set(["localhost", ...(/^[\d.]+$|:/.test(host) ? [] : [host])])];
  const { cert, private: key } = await generate([{ name: "commonName", value: "localhost" }], {
    keyType: "ec",
    algorithm: "sha256",
    notAfterDate: new Date(Date.now() + validMs),
    extensions: [
      { name: "basicConstraints", cA: true, critical: true },
      { name: "keyUsage", digitalSignature: true, keyCertSign: true },
      { name: "extKeyUsage", serverAuth: true },
      { name: "subjectAltName", altNames: [...names.map((value) => ({ type: 2 as const, value })), ...addresses.map((ip) => ({ type: 7 as const, ip }))] },
    ],
  });
  return { cert, key };
}
