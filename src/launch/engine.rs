//! The Docker engine that runs the container of the action.
//!
//! The runner mounts the engine's socket into the container (`ContainerActionHandler.cs` of the runner).

use std::collections::HashSet;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::container::{AttachContainerResults, LogOutput};
use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, ContainerSummary, ContainerSummaryStateEnum,
};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, ListContainersOptionsBuilder,
    LogsOptionsBuilder, RemoveContainerOptionsBuilder, StopContainerOptionsBuilder,
};
use bollard::{BollardRequest, Docker};
use futures_util::stream::{self, StreamExt as _};
use http::header::{HOST, HeaderValue};
use http::{Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use secrecy::ExposeSecret as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::gateway::keys;
use crate::http::{innermost, seconds};
use crate::text::Quote;

/// Where the runner mounts the socket.
const SOCKET: &str = "/var/run/docker.sock";
/// The time limit for a request to the engine. A container can need 4 seconds of it to stop.
const TIMEOUT: Duration = Duration::from_secs(15);
/// How long to look for the own container, and how often.
const SEARCH_TIME: Duration = Duration::from_secs(5);
const SEARCH_INTERVAL: Duration = Duration::from_millis(50);
/// How many containers are searched at the same time.
const SEARCHES: usize = 4;
/// The time that a container has to stop, in seconds. The gateway ends within 3 seconds.
const STOP_SECONDS: i32 = 4;
/// The maximum length of a log that is read, in bytes.
const MAX_READ: usize = 14 * 1024 * 1024;
/// The maximum length of a response in bytes. A list of 1,000 containers has about 2 MB.
const MAX_RESPONSE: u64 = 16 * 1024 * 1024;

/// A request in messages.
const CHANGES: &str = "list the files of a container";

/// Why the Docker engine did not do what the action requested.
#[derive(Debug, thiserror::Error)]
pub(super) enum EngineError {
    /// Nothing is mounted.
    #[error(
        "no Docker socket in the action's container: `{0}` does not exist\n\
         hint: use the binary action (`/binary`), which starts the gateway without Docker, or another `connection`"
    )]
    NoSocket(String),
    /// Docker mounts an empty directory in place of a missing socket.
    #[error(
        "no Docker engine listens on `{0}`, which is not a socket\n\
         hint: start the Docker engine of the runner, or use the binary action (`/binary`), which does not need Docker"
    )]
    NotSocket(String),
    /// The process may not use the socket.
    #[error(
        "access to the Docker socket `{0}` was denied\n\
         hint: run the action's container as root, which is the default, or use the binary action (`/binary`)"
    )]
    Denied(String),
    /// The engine does not listen.
    #[error(
        "no Docker engine listens on `{0}` ({1})\n\
         hint: start the Docker engine of the runner, or use the binary action (`/binary`), which does not need Docker"
    )]
    NotListening(String, io::Error),
    /// The engine does not respond.
    #[error(
        "the Docker engine did not respond within {limit} (request: {0})\n\
         hint: check the Docker engine of the runner, or use the binary action (`/binary`), which does not need Docker",
        limit = seconds(*.1)
    )]
    Timeout(&'static str, Duration),
    /// The engine returned an error.
    #[error(
        "the Docker engine could not {0}: {1}\n\
         hint: check the Docker engine of the runner, or use the binary action (`/binary`), which does not need Docker"
    )]
    Request(&'static str, Quote),
    /// The container of this step is not among those of the engine.
    #[error(
        "the action's container was not found among the containers of the Docker engine\n\
         hint: use the binary action (`/binary`), which starts the gateway without Docker"
    )]
    NotFound,
    /// The file by which the container of this step is found cannot be created in it.
    #[error(
        "the action's container was not found: no file can be created in it ({0})\n\
         hint: let the action write to its container, without options such as `--read-only`, or use the binary action \
         (`/binary`), which starts the gateway without Docker"
    )]
    ReadOnly(io::Error),
}

/// A Docker engine.
pub(super) struct Engine {
    docker: Docker,
    /// The time limit for a request.
    timeout: Duration,
}

impl Engine {
    /// Connects to the engine at `address`, or on the socket, and negotiates the version of its API. It receives
    /// credentials, so `DOCKER_HOST`, which any earlier step can set, does not count.
    ///
    /// # Errors
    /// When there is no engine on this machine, or it does not respond.
    pub(super) async fn connect(
        address: Option<SocketAddr>,
        timeout: Duration,
    ) -> Result<Self, EngineError> {
        let timeout = timeout.min(TIMEOUT);
        let what = "negotiate the version of its API";
        if address.is_none() {
            probe(Path::new(SOCKET))?;
        }
        let docker = Docker::connect_with_custom_transport(
            move |request| send(address, request),
            Some("http://docker"),
            TIMEOUT.as_secs(),
            bollard::API_DEFAULT_VERSION,
        )
        .map_err(|error| failed(what, &error))?;
        let mut engine = Self { docker, timeout };
        let negotiated = engine.docker.clone().negotiate_version();
        engine.docker = engine.limited(what, negotiated).await?;
        Ok(engine)
    }

    async fn limited<T>(
        &self,
        what: &'static str,
        work: impl Future<Output = Result<T, bollard::errors::Error>>,
    ) -> Result<T, EngineError> {
        match tokio::time::timeout(self.timeout, work).await {
            Ok(result) => result.map_err(|error| failed(what, &error)),
            Err(_) => Err(EngineError::Timeout(what, self.timeout)),
        }
    }

    /// The container of this process: the one in which a random file exists that this process wrote. The host
    /// name and `/proc/self/mountinfo` name another container if this one uses the network of the other.
    ///
    /// # Errors
    /// When there is no such container.
    pub(super) async fn own_container(
        &self,
        label: &str,
    ) -> Result<ContainerInspectResponse, EngineError> {
        let marker = Marker::create().map_err(EngineError::ReadOnly)?;
        let mut others = HashSet::new();
        let mut failure = EngineError::NotFound;
        let deadline = Instant::now() + self.timeout.min(SEARCH_TIME);
        loop {
            // The engine can list any number of containers.
            let search = self.search(label, &marker, &mut others);
            let searched = tokio::time::timeout(self.timeout, search).await;
            let timeout = |_| Err(EngineError::Timeout(CHANGES, self.timeout));
            match searched.unwrap_or_else(timeout) {
                Ok(Some(id)) => {
                    let own = self.inspect(&id).await?;
                    // The post phase finds the gateway by what this says.
                    return if own.id == Some(id) {
                        Ok(own)
                    } else {
                        Err(EngineError::NotFound)
                    };
                }
                Ok(None) => {}
                Err(error) => failure = error,
            }
            if Instant::now() + SEARCH_INTERVAL > deadline {
                return Err(failure);
            }
            tokio::time::sleep(SEARCH_INTERVAL).await;
        }
    }

    /// Looks for the file among the changed files of the running containers that are not among the `others`.
    /// Does not wait for the engine to respond about one container before it asks about the next.
    ///
    /// Does not request the file itself (`/containers/{id}/archive`): for that, Docker 20.10 mounts the volumes
    /// of a container on its own machine, and if the container starts or is removed at that moment, it starts
    /// without its volumes, or the files in them are removed.
    ///
    /// The engine lists a container as running a moment after its process has started.
    async fn search(
        &self,
        label: &str,
        marker: &Marker,
        others: &mut HashSet<String>,
    ) -> Result<Option<String>, EngineError> {
        let running: Vec<String> = self
            .containers(label)
            .await?
            .into_iter()
            .filter_map(|container| {
                let is_running = container.state == Some(ContainerSummaryStateEnum::RUNNING);
                container.id.filter(|id| is_running && !others.contains(id))
            })
            .collect();
        let mut searched = stream::iter(running)
            .map(|id| async move {
                let changes = self.docker.container_changes(&id);
                (self.limited(CHANGES, changes).await, id)
            })
            .buffer_unordered(SEARCHES);
        let mut failure = None;
        while let Some((changes, id)) = searched.next().await {
            match changes {
                Ok(changes) => {
                    let has_marker = changes
                        .into_iter()
                        .flatten()
                        .any(|change| Path::new(&change.path) == marker.0);
                    if has_marker {
                        return Ok(Some(id));
                    }
                    others.insert(id);
                }
                // Other containers can end at any time.
                Err(error) => failure = Some(error),
            }
        }
        failure.map_or(Ok(None), Err)
    }

    /// The containers with a label (`name` or `name=value`), also those that have ended.
    pub(super) async fn containers(
        &self,
        label: &str,
    ) -> Result<Vec<ContainerSummary>, EngineError> {
        let filters = [("label".to_owned(), vec![label.to_owned()])].into();
        let options = ListContainersOptionsBuilder::new()
            .all(true)
            .filters(&filters)
            .build();
        self.limited(
            "list containers",
            self.docker.list_containers(Some(options)),
        )
        .await
    }

    pub(super) async fn inspect(&self, id: &str) -> Result<ContainerInspectResponse, EngineError> {
        self.limited(
            "inspect a container",
            self.docker.inspect_container(id, None),
        )
        .await
    }

    pub(super) async fn create(
        &self,
        name: &str,
        body: ContainerCreateBody,
    ) -> Result<(), EngineError> {
        let options = CreateContainerOptionsBuilder::new().name(name).build();
        let created = self.docker.create_container(Some(options), body);
        self.limited("create a container", created).await.map(drop)
    }

    pub(super) async fn attach(&self, id: &str) -> Result<AttachContainerResults, EngineError> {
        let options = AttachContainerOptionsBuilder::new()
            .stream(true)
            .stdin(true)
            .stdout(true)
            .build();
        self.limited(
            "attach to a container",
            self.docker.attach_container(id, Some(options)),
        )
        .await
    }

    pub(super) async fn start(&self, id: &str) -> Result<(), EngineError> {
        self.limited("start a container", self.docker.start_container(id, None))
            .await
    }

    pub(super) async fn stop(&self, id: &str) -> Result<(), EngineError> {
        let options = StopContainerOptionsBuilder::new().t(STOP_SECONDS).build();
        self.limited(
            "stop a container",
            self.docker.stop_container(id, Some(options)),
        )
        .await
    }

    pub(super) async fn remove(&self, id: &str) -> Result<(), EngineError> {
        let options = RemoveContainerOptionsBuilder::new().force(true).build();
        self.limited(
            "remove a container",
            self.docker.remove_container(id, Some(options)),
        )
        .await
    }

    /// The standard output of a container.
    pub(super) async fn log(&self, id: &str) -> Result<String, EngineError> {
        let options = LogsOptionsBuilder::new().stdout(true).build();
        let mut logs = std::pin::pin!(self.docker.logs(id, Some(options)));
        let read = async {
            let mut bytes: Vec<u8> = Vec::new();
            while let Some(output) = logs.next().await {
                if let LogOutput::StdOut { message } = output? {
                    bytes.extend_from_slice(&message);
                }
                if bytes.len() > MAX_READ {
                    break;
                }
            }
            Ok(bytes)
        };
        let bytes = self.limited("read the log of a container", read).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Sends a request on a connection of its own, from which a limited number of bytes is read: bollard's own
/// transports keep a response of any length in memory.
async fn send(
    address: Option<SocketAddr>,
    mut request: BollardRequest,
) -> Result<Response<Incoming>, bollard::errors::Error> {
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map_or_else(Uri::default, Uri::from);
    request
        .headers_mut()
        .insert(HOST, HeaderValue::from_static("docker"));
    match address {
        Some(address) => exchange(TcpStream::connect(address).await?, request).await,
        #[cfg(unix)]
        None => exchange(tokio::net::UnixStream::connect(SOCKET).await?, request).await,
        #[cfg(not(unix))]
        None => Err(io::Error::from(io::ErrorKind::Unsupported).into()),
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: BollardRequest,
) -> Result<Response<Incoming>, bollard::errors::Error> {
    let (reader, writer) = tokio::io::split(stream);
    let stream = tokio::io::join(reader.take(MAX_RESPONSE), writer);
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection.with_upgrades());
    Ok(sender.send_request(request).await?)
}

/// Whether a container that was listed has ended.
pub(super) fn has_ended(container: &ContainerSummary) -> bool {
    use ContainerSummaryStateEnum::{DEAD, EXITED};

    matches!(container.state, Some(DEAD | EXITED))
}

/// A file with a random name in this container.
struct Marker(PathBuf);

impl Marker {
    /// The image contains no directory for temporary files.
    fn create() -> io::Result<Self> {
        let key = keys::random().map_err(io::Error::other)?;
        let name = format!("port-mcp-{}", key.expose_secret());
        let create = |directory: &Path| {
            let path = directory.join(&name);
            fs::File::create_new(&path)?;
            Ok(Self(path))
        };
        create(Path::new("/"))
            .or_else(|first: io::Error| create(Path::new("/tmp")).map_err(|_| first))
    }
}

impl Drop for Marker {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Checks that an engine listens on the socket.
fn probe(path: &Path) -> Result<(), EngineError> {
    let at = || path.display().to_string();
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(EngineError::NoSocket(at()));
        }
        Ok(metadata) if metadata.is_dir() => return Err(EngineError::NotSocket(at())),
        _ => {}
    }
    match connect(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(EngineError::Denied(at()))
        }
        Err(error) => Err(EngineError::NotListening(at(), error)),
    }
}

#[cfg(unix)]
fn connect(path: &Path) -> io::Result<()> {
    std::os::unix::net::UnixStream::connect(path).map(drop)
}

#[cfg(not(unix))]
fn connect(_path: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

fn failed(what: &'static str, error: &bollard::errors::Error) -> EngineError {
    use bollard::errors::Error;

    match error {
        Error::RequestTimeoutError => EngineError::Timeout(what, TIMEOUT),
        Error::DockerResponseServerError { message, .. } => {
            EngineError::Request(what, Quote::new(message))
        }
        other => EngineError::Request(what, Quote::new(&innermost(other).to_string())),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn errors_of_the_socket() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("docker.sock");
        let mut texts = Vec::new();
        let mut fail = |path: &Path| texts.push(probe(path).unwrap_err().to_string());
        fail(&path);
        fail(directory.path());
        let listener = UnixListener::bind(&path).unwrap();
        assert!(probe(&path).is_ok());
        drop(listener);
        fail(&path);
        // Root is never denied access.
        texts.push(EngineError::Denied(path.display().to_string()).to_string());
        let text = texts.join("\n\n");
        let text = text.replace(&directory.path().display().to_string(), "[DIRECTORY]");
        insta::assert_snapshot!(text);
    }
}
