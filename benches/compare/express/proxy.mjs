// A proxy as one is put together in Node.js: express-openid-connect before http-proxy-middleware.
// usage: proxy.mjs PORT UPSTREAM ISSUER CLIENT SECRET

import http from "node:http";
import express from "express";
import openid from "express-openid-connect";
import { createProxyMiddleware } from "http-proxy-middleware";

const [port, target, issuerBaseURL, clientID, clientSecret] = process.argv.slice(2);
const app = express();
app.set("x-powered-by", false);
app.use(
  openid.auth({
    issuerBaseURL,
    clientID,
    clientSecret,
    baseURL: `http://localhost:${port}`,
    secret: "a-secret-of-this-run-and-no-other-one",
    authorizationParams: { response_type: "code", scope: "openid profile email" },
  }),
);
app.use(createProxyMiddleware({ target, agent: new http.Agent({ keepAlive: true, maxSockets: 128 }) }));
app.listen(Number(port), "127.0.0.1");
