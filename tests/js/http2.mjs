// Opens streams on one connection of HTTP/2; prints what comes, one line of JSON each.
// Arguments: one JSON object with url, ca (PEM) and requests, each with query, accept, and either
// `until`: text after which {"request": place, "text": all that came} is printed, and `leave`:
// whether the stream is reset then; or `ignore`: that nothing of the response is read.
// A request starts when the one before has its headers. The connection stays open.
import { once } from "node:events";
import { connect, constants } from "node:http2";

const { url, ca, requests } = JSON.parse(process.argv[2]);
const { origin, pathname } = new URL(url);
const print = (value) => process.stdout.write(JSON.stringify(value) + "\n");
const session = connect(origin, { ca });

for (const [request, { query, accept, until, leave, ignore }] of requests.entries()) {
  const stream = session.request({
    ":method": "POST",
    ":path": pathname,
    "content-type": "application/json",
    accept: accept ?? "application/json",
  });
  stream.end(JSON.stringify({ query }));
  await once(stream, "response");
  if (ignore) continue;
  let text = "";
  stream.setEncoding("utf8");
  const seen = new Promise((resolve) => {
    stream.on("data", (part) => {
      text += part;
      if (!stream.closed && text.includes(until)) {
        print({ request, text });
        if (leave) stream.close(constants.NGHTTP2_CANCEL);
        resolve();
      }
    });
  });
  if (leave) await seen;
}
