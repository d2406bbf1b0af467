//! The HTTP server within its bounds: connections, time limits, and the memory that one connection can use.

use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use actix_http::HttpService;
use actix_server::Server;
use actix_service::{IntoServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::body::MessageBody;
use actix_web::dev::{AppConfig, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::middleware::from_fn;
use actix_web::rt::net::TcpStream;
use actix_web::{App, Error, HttpRequest, web};
use anyhow::Context;

use crate::connection::{Connection, ConnectionState, HEAD_TIMEOUT, KEEP_ALIVE, Slots};
use crate::context::State;
use crate::metrics::Metrics;
use crate::observe::{HasGuide, observe};
use crate::settings::ServeSettings;
use crate::{document, routes};

/// Time in which a client takes the rest of a reply after which the API closes the connection.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Connections that the kernel accepts before the API does.
const BACKLOG: u32 = 4_096;
/// Memory that the largest connection without a key uses: 128 KiB of a head, 48 KiB of a reply, and the buffers of its socket.
const CONNECTION_MEMORY: u64 = 256 * 1024;
/// Connections without a memory limit, and at most.
const MAX_CONNECTIONS: usize = 4_096;
const MIN_CONNECTIONS: usize = 64;
/// Files that the process opens beside its connections.
const OTHER_FILES: u64 = 256;

/// Binds the server of the API. Returns it and the bound port.
pub(crate) fn bind(
    settings: &ServeSettings,
    state: &web::Data<State>,
    metrics: &web::Data<Metrics>,
) -> anyhow::Result<(Server, u16)> {
    let connections = connections(settings);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = settings.threads.unwrap_or(cores);
    let _ = rlimit::increase_nofile_limit(
        u64::try_from(connections)
            .unwrap_or(u64::MAX)
            .saturating_add(OTHER_FILES),
    );
    let listeners = listeners(&settings.listen)
        .with_context(|| format!("cannot listen on {}", settings.listen))?;
    let places = connections.div_ceil(threads);
    // Each listener has its own places, and the thread's limit is for all of them.
    let places_of_listener = places.div_ceil(listeners.len().max(1));
    let mut server = Server::build()
        .workers(threads)
        .disable_signals()
        .backlog(BACKLOG)
        .max_concurrent_connections(places)
        .shutdown_timeout(settings.drain_seconds);
    let stopping = server.graceful_shutdown_signal();
    let (serves_docs, trace_callers) = (settings.docs, settings.trace_callers);
    let mut port = 0;
    for listener in listeners {
        if port == 0 {
            port = listener.local_addr()?.port();
        }
        let (state, metrics, stopping) = (state.clone(), metrics.clone(), stopping.clone());
        server = server.listen("khata-api", listener, move || {
            let app = app(state.clone(), metrics.clone(), serves_docs)
                .app_data(trace_callers)
                .into_factory()
                .map_err(|error: Error| error.error_response());
            let stopping = stopping.clone();
            let http = HttpService::build()
                .graceful_shutdown_signal(move || {
                    let stopping = stopping.clone();
                    async move { stopping.notified().await }
                })
                .client_request_timeout(HEAD_TIMEOUT)
                .client_disconnect_timeout(DISCONNECT_TIMEOUT)
                .keep_alive(KEEP_ALIVE)
                .on_connect_ext(|connection: &Connection, data| {
                    data.insert::<Rc<ConnectionState>>(connection.state());
                })
                .h1(map_config(app, |()| AppConfig::default()));
            let slots = Slots::new(places_of_listener);
            fn_service(move |socket: TcpStream| {
                let peer = socket.peer_addr().ok();
                std::future::ready(Ok((Connection::new(socket, &slots), peer)))
            })
            .and_then(http)
        })?;
    }
    Ok((server.run(), port))
}

/// The routes and what surrounds them.
fn app(
    state: web::Data<State>,
    metrics: web::Data<Metrics>,
    serves_docs: bool,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = Error,
        InitError = (),
    >,
> {
    App::new()
        .app_data(state)
        .app_data(metrics)
        .app_data(HasGuide(serves_docs))
        .wrap(from_fn(observe))
        .configure(routes::add)
        .configure(|config| {
            if serves_docs {
                document::routes(config);
            }
        })
        .default_service(web::to(move |request: HttpRequest| async move {
            let (method, path) = (request.method(), request.path());
            Err::<&str, _>(document::no_such_call(method, path, serves_docs))
        }))
}

/// Binds every address that the text names, as far as one of them is free.
fn listeners(listen: &str) -> io::Result<Vec<TcpListener>> {
    let addresses = std::net::ToSocketAddrs::to_socket_addrs(listen)?;
    let (mut bound, mut failed) = (Vec::new(), None);
    for address in addresses {
        match listener(address) {
            Ok(listener) => bound.push(listener),
            Err(error) => failed = Some(error),
        }
    }
    match failed {
        Some(error) if bound.is_empty() => Err(error),
        _ => Ok(bound),
    }
}

fn listener(address: std::net::SocketAddr) -> io::Result<TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(BACKLOG).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

/// Returns the maximum number of connections: by default as many as half of the memory limit holds.
pub(crate) fn connections(settings: &ServeSettings) -> usize {
    settings
        .connections
        .unwrap_or_else(|| memory_limit(Path::new("/")).map_or(MAX_CONNECTIONS, connections_within))
}

fn connections_within(limit: u64) -> usize {
    let connections = usize::try_from(limit / 2 / CONNECTION_MEMORY).unwrap_or(MAX_CONNECTIONS);
    connections.clamp(MIN_CONNECTIONS, MAX_CONNECTIONS)
}

/// The smallest memory limit of the process's control group and of those above it, in bytes; `None` if there is none. `root` is
/// the folder of `proc` and `sys`.
fn memory_limit(root: &Path) -> Option<u64> {
    let groups = std::fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let limits = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        // Version 2 has one hierarchy without a name, version 1 one hierarchy for memory.
        let (folder, file) = match parts.next()? {
            "" => ("sys/fs/cgroup", "memory.max"),
            controllers if controllers.split(',').any(|name| name == "memory") => {
                ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => return None,
        };
        let root = root.join(folder);
        let group = root.join(parts.next()?.trim_start_matches('/'));
        let above = group.ancestors().take_while(|path| path.starts_with(&root));
        above
            .filter_map(|path| std::fs::read_to_string(path.join(file)).ok())
            .filter_map(|text| text.trim().parse().ok())
            .min()
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_use_half_of_the_memory_limit() {
        assert_eq!(connections_within(512 << 20), 1_024);
        assert_eq!(connections_within(0), MIN_CONNECTIONS);
        assert_eq!(connections_within(u64::MAX), MAX_CONNECTIONS);
    }

    #[test]
    fn the_memory_limit_is_the_smallest_of_the_control_group_and_those_above() {
        // The process's groups, the files of limits, and the limit.
        type Case = (
            &'static str,
            &'static [(&'static str, &'static str)],
            Option<u64>,
        );
        let files: [Case; 7] = [
            ("", &[], None),
            ("0::/\n", &[("memory.max", "max\n")], None),
            // In a container the group is the root of what the process sees.
            ("0::/\n", &[("memory.max", "536870912\n")], Some(512 << 20)),
            (
                "0::/a/b\n",
                &[
                    ("a/b/memory.max", "max\n"),
                    ("a/memory.max", "1048576\n"),
                    ("memory.max", "9999999\n"),
                ],
                Some(1 << 20),
            ),
            (
                "9:name=systemd:/x\n4:memory:/a\n0::/\n",
                &[
                    ("memory/a/memory.limit_in_bytes", "536870912\n"),
                    ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
                ],
                Some(512 << 20),
            ),
            (
                "3:cpu,memory:/a\n",
                &[("memory/a/memory.limit_in_bytes", "1048576\n")],
                Some(1 << 20),
            ),
            // A container of version 1 sees its own group as the root, under the host's name.
            (
                "4:memory:/docker/0123\n",
                &[("memory/memory.limit_in_bytes", "1048576\n")],
                Some(1 << 20),
            ),
        ];
        for (place, (groups, limits, expected)) in files.into_iter().enumerate() {
            let folder = format!("khata-memory-limit-{}-{place}", std::process::id());
            let root = std::env::temp_dir().join(folder);
            let write = |path: &str, text: &str| {
                let path = root.join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            };
            write("proc/self/cgroup", groups);
            for (path, text) in limits {
                write(&format!("sys/fs/cgroup/{path}"), text);
            }
            let found = memory_limit(&root);
            std::fs::remove_dir_all(&root).unwrap();
            assert_eq!(found, expected, "{groups}");
        }
    }
}
