//! The service of one connection: the header of a proxy, TLS, then HTTP/1.1, HTTP/2 or, after its handshake, a WebSocket.
//!
//! One actix-web application answers the requests of both versions of HTTP. `HttpServer` of
//! actix-web supports neither our WebSocket service nor bounds of HTTP/2, so this module combines
//! its parts itself: ADR 0033, ADR 0047.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_http::body::BoxBody;
use actix_http::error::{DispatchError, ParseError};
use actix_http::{HttpService, KeepAlive, Protocol, Request};
use actix_service::boxed::{self, BoxService};
use actix_service::{
    IntoServiceFactory, Service, ServiceFactory, fn_factory, fn_service, map_config,
};
use actix_web::dev::{AppConfig, ResourceDef};
use actix_web::{App, HttpRequest, HttpResponse, web};
use bytes::Bytes;
use runtime::{Limits, Responder, WorkerFactory};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::application::{Application, spellings};
use crate::deadline::{LINGER, within};
use crate::expectation;
use crate::handshake::{self, Compression, UpgradeService};
use crate::http;
use crate::http2;
use crate::newcomers::Newcomers;
use crate::preface::{self, Preface, PrefaceError};
use crate::publish::Publishers;
use crate::server::SiteConfig;
use crate::socket::{Accepted, Socket, SocketHandle};
use crate::status;
use crate::tls::{HTTP_2, Tls};
use crate::watched::{Watched, find_client};
use crate::wire::Wire;
use crate::worker::CurrentWorker;

/// Time limit of a TLS handshake, unless `Limits.request_timeout` is shorter.
const TLS_HANDSHAKE: Duration = Duration::from_secs(3);

/// Serves a connection of HTTP/1.1.
type Http1<T> = BoxService<(Wire<T>, Protocol, Option<SocketAddr>), (), DispatchError>;

/// State that the connections of one worker thread share.
struct Site {
    application: Application,
    upgrades: Rc<UpgradeService>,
    responder: Responder,
    limits: Limits,
    newcomers: Newcomers,
    proxy_protocol: bool,
}

/// Creates the service of one worker thread, on that thread.
pub(crate) fn plain<T: Accepted>(
    workers: &WorkerFactory,
    config: &SiteConfig,
) -> impl ServiceFactory<T, Config = (), Response = (), Error = io::Error, InitError = ()> + use<T>
{
    let (workers, config) = (workers.clone(), config.clone());
    fn_factory(move || {
        let (workers, config) = (workers.clone(), config.clone());
        async move {
            let site = Rc::new(Site::open(&workers, config).await?);
            let http1 = Rc::new(site.http1().await?);
            let serve = move |stream: T| {
                let (site, http1) = (site.clone(), http1.clone());
                async move {
                    let Some((socket, peer)) = site.let_in(stream).await else {
                        return Ok(());
                    };
                    let handle = socket.handle();
                    let served = site.serve_http1(&http1, socket, handle, peer);
                    site.newcomers.take_turns(served).await;
                    Ok::<_, io::Error>(())
                }
            };
            Ok(fn_service::<_, _, _, _, _, ()>(serve))
        }
    })
}

/// Like [`plain`], with TLS, and HTTP/2 for clients that offer it.
pub(crate) fn secured(
    workers: &WorkerFactory,
    config: &SiteConfig,
    tls: &Tls,
) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = io::Error, InitError = ()> + use<>
{
    let (workers, config, tls) = (workers.clone(), config.clone(), tls.clone());
    fn_factory(move || {
        let (workers, config, tls) = (workers.clone(), config.clone(), tls.clone());
        async move {
            let site = Rc::new(Site::open(&workers, config).await?);
            let http1 = Rc::new(site.http1().await?);
            let acceptor = TlsAcceptor::from(Arc::clone(&tls.0));
            let serve = move |stream: TcpStream| {
                let (site, http1, acceptor) = (site.clone(), http1.clone(), acceptor.clone());
                async move {
                    let Some((socket, peer)) = site.let_in(stream).await else {
                        return Ok(());
                    };
                    let served = serve_secured(socket, peer, &site, &http1, &acceptor);
                    site.newcomers.take_turns(served).await;
                    Ok::<_, io::Error>(())
                }
            };
            Ok(fn_service::<_, _, _, _, _, ()>(serve))
        }
    })
}

async fn serve_secured(
    socket: Socket<TcpStream>,
    peer: Option<SocketAddr>,
    site: &Site,
    http1: &Http1<TlsStream<Socket<TcpStream>>>,
    acceptor: &TlsAcceptor,
) {
    let handle = socket.handle();
    let timeout = site.limits.request_timeout.min(TLS_HANDSHAKE);
    let handshake = within(timeout, acceptor.accept(socket)).await;
    let Some(Ok(stream)) = handshake else { return };
    if stream.get_ref().1.alpn_protocol() == Some(HTTP_2) {
        let application = site.application.clone();
        http2::serve(stream, handle, peer, application, &site.responder).await;
    } else {
        site.serve_http1(http1, stream, handle, peer).await;
    }
}

impl Site {
    async fn open(workers: &WorkerFactory, config: SiteConfig) -> Result<Self, ()> {
        let SiteConfig {
            routes,
            compress,
            proxies,
            proxy_protocol,
        } = config;
        let (root, path) = (&*routes.root, &*routes.graphql);
        let current = web::Data::new(CurrentWorker::start(workers, proxies.clone()));
        let limits = current.worker.state().limits.clone();
        let responder = current.responder.clone();
        let newcomers = current.newcomers.clone();
        let upgrades = Rc::new(UpgradeService {
            path: ResourceDef::new(spellings(root, path)),
            publish: (routes.publish.as_ref()).map(|route| Publishers::new(root, route)),
            compression: compress.then(Compression::default),
            current: current.clone(),
        });
        let publish = routes.publish.clone();
        let others = |config: &mut web::ServiceConfig| {
            status::pages(root, config);
            if let Some(publish) = publish {
                publish.configure(root, config);
            }
        };
        let app = App::new()
            .app_data(current)
            .service(web::resource(spellings(root, path)).to(graphql))
            .configure(others);
        let app = map_config(app.into_factory(), |()| AppConfig::default());
        let app = app.new_service(()).await?;
        let application = boxed::rc_service(Watched::new(app, responder.clone(), proxies));
        Ok(Self {
            application,
            upgrades,
            responder,
            limits,
            newcomers,
            proxy_protocol,
        })
    }

    /// Returns the socket of a client and its address, which may be what a proxy tells; `None`: it is
    /// refused.
    async fn let_in<T: Accepted>(&self, mut stream: T) -> Option<(Socket<T>, Option<SocketAddr>)> {
        stream.set_up();
        // Whose requests these were is not known any more, so they are not answered.
        let peer = stream.peer().ok()?;
        if !self.proxy_protocol {
            return Some((Socket::new(stream, Bytes::new(), &self.limits), peer));
        }
        let proxies = &self.upgrades.current.proxies;
        // Boxed, so that the connection keeps no room for it.
        let reading = Box::pin(preface::read(&mut stream, peer, proxies));
        let read = within(self.limits.request_timeout, reading).await;
        match read.unwrap_or(Err(PrefaceError::Late)) {
            Ok(Preface { client, first }) => {
                let socket = Socket::new(stream, first, &self.limits);
                if client.is_none() {
                    socket.handle().hide_client();
                }
                Some((socket, client.or(peer)))
            }
            Err(PrefaceError::Empty) => None,
            Err(reason) => {
                let peer = peer.map(|peer| peer.to_string());
                self.responder.proxy_denied(peer.as_deref(), &reason);
                None
            }
        }
    }

    /// Serves a connection of HTTP/1.1 until it ends.
    async fn serve_http1<T: AsyncRead + AsyncWrite + Unpin>(
        &self,
        http1: &Http1<T>,
        io: T,
        handle: SocketHandle,
        peer: Option<SocketAddr>,
    ) {
        let wire = Wire::new(io, handle, self.limits.max_message_bytes);
        let served = http1.call((wire, Protocol::Http1, peer)).await;
        // Any other error means that the client is gone.
        if let Err(DispatchError::Parse(error)) = served
            && !matches!(error, ParseError::Io(_))
        {
            let peer = peer.map(|peer| peer.to_string());
            self.responder.abandoned(peer.as_deref());
        }
    }

    /// HTTP/1.1.
    async fn http1<T>(&self) -> Result<Http1<T>, ()>
    where
        T: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let (application, upgrades) = (self.application.clone(), self.upgrades.clone());
        let current = self.upgrades.current.clone();
        let handshakes = fn_service(move |(mut request, framed): (Request, _)| {
            find_client(&current.proxies, &mut request);
            let upgrades = upgrades.clone();
            async move {
                handshake::answer(&upgrades, request, framed).await?;
                Ok::<_, actix_web::Error>(())
            }
        });
        let upgrades = self.upgrades.clone();
        let expectations = fn_service(move |mut request: Request| {
            find_client(&upgrades.current.proxies, &mut request);
            let answered = expectation::look(&upgrades, &request).map(|()| request);
            std::future::ready(answered)
        });
        let service = HttpService::build()
            // `Socket` has the time limits of heads and of idle connections. Those of actix-http
            // follow a clock that is up to half a second old: they end early, and one that ends
            // before it is first polled wakes nothing.
            .client_request_timeout(Duration::ZERO)
            .keep_alive(KeepAlive::Os)
            .client_disconnect_timeout(LINGER)
            // A client that closes its side counts as disconnected, and its operations end at once.
            .h1_allow_half_closed(false)
            .on_connect_ext(|connection: &Wire<T>, data| {
                data.insert(connection.socket().clone());
            })
            .expect(expectations)
            .upgrade(handshakes)
            .finish::<_, BoxBody>(fn_factory(move || {
                std::future::ready(Ok::<_, ()>(application.clone()))
            }));
        Ok(boxed::service(service.new_service(()).await?))
    }
}

/// Serves requests on the GraphQL path that are not WebSocket handshakes.
async fn graphql(
    request: HttpRequest,
    payload: web::Payload,
    worker: web::Data<CurrentWorker>,
) -> HttpResponse {
    http::answer(&request, payload, &worker).await
}
