// Publishes events from Node.js by `POST /publish`; any client of HTTP does the same.
//
//     PUBLISH_KEY=... node publish.mjs http://127.0.0.1:8000/publish orders '{"id": 7}'

const [url, channel, data] = process.argv.slice(2);

async function publish(event, attempts = 5) {
  for (let attempt = 1; ; attempt++) {
    let problem, mayRetry = true;
    try {
      const response = await fetch(url, {
        method: "POST",
        headers: {
          authorization: `Bearer ${process.env.PUBLISH_KEY}`,
          "content-type": "application/json",
        },
        body: JSON.stringify(event),
      });
      // A proxy may answer by something else than JSON.
      const { status } = response;
      const unreadable = { error: `status ${status}`, retryable: status >= 500 || status === 429 };
      const answer = await response.json().catch(() => unreadable);
      if (response.ok) return answer;
      problem = answer.error;
      mayRetry = answer.retryable;
    } catch (error) {
      // The connection broke: the event may have been published.
      problem = error.message;
    }
    if (!mayRetry || attempt === attempts) throw new Error(problem);
    await new Promise((resolve) => setTimeout(resolve, 100 * 2 ** attempt * Math.random()));
  }
}

// The same id in each attempt: behind Redis it is one event, however often it is sent.
const event = { channel, data: JSON.parse(data), event_id: crypto.randomUUID() };
console.log(JSON.stringify(await publish(event)));
