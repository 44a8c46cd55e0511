// The npm package `oidc-provider` with accounts for every address, in the shape that Google and Microsoft have: PKCE
// demanded, refresh tokens that change with every use, an e-mail address in the id_token. Prints the address; then each
// line of standard input is an order in JSON, answered by a line in JSON. Ends when standard input is closed.
//
//   node serve.mjs FOLDER ISSUER
import { createServer } from "node:http";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [folder, issuer] = process.argv.slice(2);
// Standard output is for our answers; the package has advice for those who run it in earnest.
const say = (line) => process.stdout.write(`${line}\n`);
console.log = console.info = console.warn = () => {};
const { Provider, interactionPolicy, errors } = await import(
  pathToFileURL(join(folder, "node_modules", "oidc-provider", "lib", "index.js"))
);

// Time can be moved: everything that expires reads this clock.
const realNow = Date.now.bind(Date);
let ahead = 0;
Date.now = () => realNow() + ahead * 1000;

const settings = {
  access_seconds: 3600, refresh_seconds: 90 * 86400, issue_refresh: true, rotate: true, email_claim: true,
  refuse: null, // {"error": ..., "error_description": ...} instead of consent
};
const TENANT = "11111111-2222-4333-8444-555555555555";
const scopes = [
  "openid", "offline_access", "profile", "email",
  "https://outlook.office.com/SMTP.Send", "https://outlook.office.com/IMAP.AccessAsUser.All",
  "https://graph.microsoft.com/Mail.Send", "https://mail.google.com/",
];

// Accounts are not kept: whoever signs in as ADDRESS is the person with that address.
const subject = (address) => Buffer.from(address).toString("hex");
const addressOf = (sub) => Buffer.from(sub, "hex").toString();

const policy = interactionPolicy.base();
policy.add(new interactionPolicy.Prompt({ name: "select_account", requestable: true }), 0);

const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const key = { ...privateKey.export({ format: "jwk" }), kid: "test", use: "sig", alg: "RS256" };

const clients = new Map();
class Kept {
  // The package's own memory for all but clients, which are registered here one by one.
  constructor(name) { this.name = name; this.all = new Map(); }
  async find(id) { return this.name === "Client" ? clients.get(id) : this.live(this.all.get(id)); }
  live(entry) { return entry && (entry.until === null || entry.until > Date.now()) ? entry.payload : undefined; }
  async upsert(id, payload, seconds) {
    this.all.set(id, { payload, until: typeof seconds === "number" ? Date.now() + seconds * 1000 : null });
  }
  async findByUid(uid) { return this.by((one) => one.uid === uid); }
  async findByUserCode(code) { return this.by((one) => one.userCode === code); }
  by(fits) { return [...this.all.values()].map((one) => this.live(one)).find((one) => one && fits(one)); }
  async consume(id) {
    const entry = this.all.get(id);
    if (entry) entry.payload.consumed = Math.floor(Date.now() / 1000);
  }
  async destroy(id) { this.all.delete(id); }
  async revokeByGrantId(grantId) {
    for (const [id, entry] of this.all) if (entry.payload.grantId === grantId) this.all.delete(id);
  }
}

const provider = new Provider(issuer, {
  adapter: Kept,
  jwks: { keys: [key] },
  cookies: { keys: [randomBytes(16).toString("hex")] },
  scopes,
  claims: {
    openid: ["sub", "tid", "email", "email_verified", "preferred_username"],
  },
  conformIdTokenClaims: false,
  extraParams: ["access_type", "login_hint"],
  pkce: { required: () => true },
  rotateRefreshToken: () => settings.rotate,
  issueRefreshToken: async () => settings.issue_refresh,
  expiresWithSession: async () => false,
  ttl: {
    AccessToken: () => settings.access_seconds,
    RefreshToken: () => settings.refresh_seconds,
    AuthorizationCode: 60, IdToken: 3600, Grant: 365 * 86400, Interaction: 3600, Session: 86400,
  },
  features: {
    devInteractions: { enabled: false },
    introspection: { enabled: true, allowedPolicy: () => true },
    revocation: { enabled: true, allowedPolicy: () => true },
    rpInitiatedLogout: { enabled: false },
  },
  interactions: { policy, url: (_, interaction) => `/interaction/${interaction.uid}` },
  findAccount: async (_, sub) => ({
    accountId: sub,
    claims: async () => ({
      sub, tid: TENANT, preferred_username: addressOf(sub),
      ...(settings.email_claim ? { email: addressOf(sub), email_verified: true } : {}),
    }),
  }),
  loadExistingGrant: async (ctx) => {
    const id = ctx.oidc.result?.consent?.grantId;
    return id ? ctx.oidc.provider.Grant.find(id) : undefined;
  },
});
provider.on("server_error", (_, error) => console.error(error));

// What Dovecot and the stand-in for Graph ask: whose mailbox the token opens.
provider.use(async (ctx, next) => {
  await next();
  if (ctx.oidc?.route === "introspection" && ctx.body?.active) ctx.body.email = addressOf(ctx.body.sub);
});

const escaped = (text) => String(text).replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
const page = (title, body) => `<!doctype html><html lang="en"><meta charset="utf-8"><title>${title}</title>
<body><h1>${title}</h1><form method="post" autocomplete="off">${body}</form></body></html>`;
const signInPage = (hint) => page("Sign in", `<label>E-mail <input name="address" value="${escaped(hint)}"></label>
<button name="do" value="sign_in">Continue</button><button name="do" value="deny">Cancel</button>`);
const consentPage = (client, wanted) => page("Permissions requested", `<p>${escaped(client)} wants:</p>
<ul>${wanted.map((scope) => `<li>${escaped(scope)}</li>`).join("")}</ul>
<button name="do" value="allow">Accept</button><button name="do" value="deny">Cancel</button>`);

async function read(request) {
  let text = "";
  for await (const part of request) text += part;
  return new URLSearchParams(text);
}

async function consented(details) {
  const grant = new provider.Grant({ accountId: details.session.accountId, clientId: details.params.client_id });
  grant.addOIDCScope(details.params.scope);
  return { consent: { grantId: await grant.save() } };
}

async function interact(request, response) {
  const details = await provider.interactionDetails(request, response);
  const { prompt: { name }, params } = details;
  if (request.method === "GET") {
    const shown = name === "consent" ? consentPage(params.client_id, params.scope.split(" "))
      : signInPage(params.login_hint ?? "");
    response.writeHead(200, { "content-type": "text/html; charset=utf-8" });
    response.end(shown);
    return;
  }
  const form = await read(request);
  let result;
  if (form.get("do") === "deny") result = { error: "access_denied", error_description: "The person said no." };
  else if (name === "consent") result = settings.refuse ?? (await consented(details));
  else result = { select_account: {}, login: { accountId: subject(form.get("address").trim()) } };
  await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: name === "consent" });
}

const serve = provider.callback();
const server = createServer((request, response) => {
  if (!request.url.startsWith("/interaction/")) return serve(request, response);
  interact(request, response).catch((error) => {
    const known = error instanceof errors.OIDCProviderError;  // such as a page that is over: somebody went back to it
    if (!known) console.error(error);
    response.writeHead(400, { "content-type": "text/plain" });
    response.end(known ? error.error : "error");
  });
});

const orders = {
  client({ client_id, client_secret, redirect_uris }) {
    clients.set(client_id, {
      client_id, ...(client_secret ? { client_secret } : {}), redirect_uris,
      grant_types: ["authorization_code", "refresh_token"],
      token_endpoint_auth_method: client_secret ? "client_secret_post" : "none",
    });
  },
  server_client({ client_id, client_secret }) {
    clients.set(client_id, {
      client_id, client_secret, redirect_uris: [], grant_types: [], response_types: [],
      token_endpoint_auth_method: "client_secret_basic",
    });
  },
  clock({ seconds }) { ahead += seconds; },
  settings(given) { Object.assign(settings, given); },
};
createInterface({ input: process.stdin }).on("line", (line) => {
  const { order, ...given } = JSON.parse(line);
  orders[order](given);
  say(JSON.stringify({ done: order }));
}).on("close", () => process.exit(0));
server.listen(0, "127.0.0.1", () => say(`http://127.0.0.1:${server.address().port}`));
