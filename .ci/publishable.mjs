// `npm publish` asks first: a package says where it comes from. The address is that of the place that publishes it, so whoever
// publishes sets it; it is not made up here.
import { readFileSync } from "node:fs";

const { repository } = JSON.parse(readFileSync("package.json", "utf8"));
const address = typeof repository === "string" ? repository : repository?.url;
if (typeof address !== "string" || address === "") {
  process.stderr.write(
    'holdfast: expected package.json to name the repository that it is published from, found none; write "repository": { "type": "git", "url": "git+https://…" }\n',
  );
  process.exit(2);
}
