//! async-graphql on actix-web, with its own WebSocket endpoint, as its documentation shows it.
//!
//! Events reach subscribers through a broadcast channel of tokio; the stream of each subscription
//! filters them.

use std::io;
use std::sync::Arc;

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use async_graphql::{EmptyMutation, Object, Schema, SimpleObject, Subscription};
use async_graphql_actix_web::GraphQLSubscription;
use peers::{BACKLOG, Options, Published};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::{Stream, StreamExt};

/// Events the channel keeps for a subscriber that is behind (count): more than any scenario has
/// under way, so that nothing is lost.
const CAPACITY: usize = 4096;

#[derive(Debug, Deserialize, SimpleObject)]
#[serde(rename_all = "camelCase")]
struct Feed {
    sequence: i64,
    sent_at: i64,
    key: Option<i64>,
    note: String,
}

struct Query;

#[Object]
impl Query {
    async fn ok(&self) -> bool {
        true
    }
}

struct Root {
    events: broadcast::Sender<Arc<Feed>>,
}

#[Subscription]
impl Root {
    async fn feed(&self, key: Option<i64>) -> impl Stream<Item = Arc<Feed>> {
        BroadcastStream::new(self.events.subscribe())
            .filter_map(Result::ok)
            .filter(move |event| key.is_none() || event.key == key)
    }

    /// Yields what there is; no event follows.
    async fn snapshot(&self) -> impl Stream<Item = Arc<Feed>> {
        let now = Feed {
            sequence: 0,
            sent_at: 0,
            key: None,
            note: "x".repeat(90),
        };
        tokio_stream::once(Arc::new(now)).chain(tokio_stream::pending())
    }
}

type Served = Schema<Query, EmptyMutation, Root>;

async fn subscribe(
    schema: web::Data<Served>,
    request: HttpRequest,
    payload: web::Payload,
) -> actix_web::Result<HttpResponse> {
    GraphQLSubscription::new(Schema::clone(&schema)).start(&request, payload)
}

async fn publish(control: TcpListener, events: broadcast::Sender<Arc<Feed>>) -> io::Result<()> {
    loop {
        let (socket, _) = control.accept().await?;
        let events = events.clone();
        actix_web::rt::spawn(async move {
            let mut lines = BufReader::new(socket).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                match serde_json::from_str::<Published<Feed>>(&line) {
                    // Nobody may have subscribed yet.
                    Ok(event) => drop(events.send(Arc::new(event.data))),
                    Err(error) => eprintln!("not an event: {error}"),
                }
            }
        });
    }
}

#[actix_web::main]
async fn main() -> io::Result<()> {
    let options = Options::parse(std::env::args().skip(1)).map_err(io::Error::other)?;
    let (events, _) = broadcast::channel(CAPACITY);
    let root = Root {
        events: events.clone(),
    };
    let schema = Schema::build(Query, EmptyMutation, root).finish();
    let mut server = HttpServer::new(move || {
        App::new()
            .app_data(web::Data::new(schema.clone()))
            .route("/graphql", web::get().to(subscribe))
    })
    .backlog(BACKLOG);
    if let Some(workers) = options.workers {
        server = server.workers(workers);
    }
    let server = server.bind(options.address)?.run();
    let control = options
        .control
        .ok_or(io::Error::other("`--control` is missing"))?;
    actix_web::rt::spawn(publish(TcpListener::bind(control).await?, events));
    println!("ready");
    server.await
}
