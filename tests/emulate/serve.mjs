// Slack as the npm package `emulate` reads its documentation. Its command line takes no event subscriptions, so this
// asks the same package for a server and notes one. Prints the address; ends when standard input is closed.
//
//   node serve.mjs FOLDER SEED-AS-JSON EVENTS-URL
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, seed, eventsUrl] = process.argv.slice(2);
const dist = join(folder, "node_modules", "emulate", "dist");

async function slackPart() {
  for (const name of await readdir(dist)) {
    const path = join(dist, name);
    if (name.endsWith(".js") && (await readFile(path, "utf8")).includes("slackPlugin = {")) {
      const found = await import(pathToFileURL(path));
      if (found.slackPlugin) return found.slackPlugin;
    }
  }
  throw new Error("this version of emulate has no part for Slack that we know");
}

const slack = await slackPart();
const register = slack.register;
slack.register = (app, store, webhooks, ...more) => {
  webhooks.register({ url: eventsUrl, events: ["*"], active: true, owner: "slack" });
  return register.call(slack, app, store, webhooks, ...more);
};

const { createEmulator } = await import(pathToFileURL(join(dist, "api.js")));
const server = await createEmulator({ service: "slack", port: 0, hostname: "127.0.0.1", seed: JSON.parse(seed) });
console.log(server.url);
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
