// The npm package `nodemailer`: each line of standard input is an order in JSON, answered by a line in JSON. Ends when
// standard input is closed.
//
//   node serve.mjs FOLDER
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [folder] = process.argv.slice(2);
const found = await import(pathToFileURL(join(folder, "node_modules", "nodemailer", "dist", "esm", "nodemailer.js")));
const nodemailer = found.default ?? found;
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

async function sent({ port, host, ca, user, key, mail }) {
  const transport = nodemailer.createTransport({
    host: "127.0.0.1", port, secure: true, auth: { user, pass: key },
    tls: { ca: readFileSync(ca), servername: host },
  });
  try {
    const info = await transport.sendMail(mail);
    return { accepted: info.accepted, response: info.response };
  } catch (error) {
    return { code: error.responseCode, response: error.response, command: error.command };
  } finally {
    transport.close();
  }
}

process.stdout.write("ready\n");
for await (const line of createInterface({ input: process.stdin })) say(await sent(JSON.parse(line)));
