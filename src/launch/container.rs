//! The gateway as a container from the image of the action, next to the container of the step.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, anyhow};
use bollard::container::{AttachContainerResults, LogOutput};
use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, ContainerStateStatusEnum, ContainerSummary,
    EndpointSettings, HostConfig, HostConfigLogConfig, NetworkingConfig, PortBinding,
};
use futures_util::StreamExt as _;
use secrecy::ExposeSecret as _;
use tokio::io::AsyncWriteExt as _;
use url::Url;

use super::engine::{Engine, EngineError, has_ended};
use super::network::{Network, port_key};
use super::{EndError, Ended, Launched, Options, START_TIMEOUT, is_requested};
use crate::gateway::serve::{MAX_REPLY, Reply};
use crate::gateway::settings::{Placement, Settings};
use crate::gateway::{Counts, keys};
use crate::http::seconds;
use crate::runner::temp::{self, NewFile};
use crate::runner::{Environment, Log, files, state};
use crate::text::Quote;

/// The user and group of the gateway: neither root nor the runner's user.
const USER: u32 = 65_532;
/// The program of the gateway and its argument.
const COMMAND: [&str; 2] = ["/port-mcp", "gateway"];
/// The memory limit in bytes. The gateway needs less than 100 MiB, whatever its clients do (`gateway::memory`).
const MEMORY: i64 = 128 << 20;
/// The limit of processes and threads.
const PROCESSES: i64 = 32;
/// The maximum length of the log, after which the engine begins another one.
const MAX_LOG: &str = "100m";
/// The directory of the audit in the gateway's container.
const AUDIT_DIRECTORY: &str = "/audit";

/// The time limit for removing what earlier jobs have left. The next job continues.
const SWEEP_TIME: Duration = Duration::from_secs(15);
/// The time limit for stopping the gateways of a step.
const STOP_TIME: Duration = Duration::from_mins(1);
/// How long a gateway that has ended is kept for its post phase: as long as a job on a self-hosted runner can take.
/// The next job on the same runner removes it earlier.
const REPORT_TIME: Duration = Duration::from_hours(5 * 24);

/// The label of the image, which its containers inherit. The `Dockerfile` sets it. An image that is built from ours
/// can have other labels of `org.opencontainers`.
const IMAGE_LABEL: &str = "port-mcp-action.image";
/// The label that only gateways have. Its value is a random name.
const NAME: &str = "port-mcp-action.gateway";
/// What the name begins with, and the number of random characters after it.
const NAME_PREFIX: &str = "port-mcp-";
const NAME_LENGTH: usize = 16;
/// The label with the end of the gateway's life, in seconds since the Unix epoch.
const END: &str = "port-mcp-action.gateway.end";
/// The labels of the job, and the variables or the mount that they come from.
const MOUNT: &str = "port-mcp-action.gateway.mount";
const JOB: [(&str, &str); 3] = [
    ("port-mcp-action.gateway.run", "GITHUB_RUN_ID"),
    ("port-mcp-action.gateway.attempt", "GITHUB_RUN_ATTEMPT"),
    ("port-mcp-action.gateway.job", "GITHUB_JOB"),
];
/// The label of the step.
const STEP: (&str, &str) = ("port-mcp-action.gateway.step", "GITHUB_ACTION");

/// Starts a gateway.
///
/// # Errors
/// When the Docker engine does not start the container, the gateway does not listen in time, or the state cannot
/// be saved. On error, the container is removed.
pub(super) async fn start(
    engine: Option<SocketAddr>,
    options: &Options,
    settings: impl FnOnce(Placement) -> Settings,
    environment: &Environment,
    log: &mut Log<'_>,
) -> anyhow::Result<Launched> {
    let engine = Engine::connect(engine, options.timeout).await?;
    let own = engine.own_container(IMAGE_LABEL).await?;
    let owner = Owner::new(&own, environment);
    // Many gateways, or an engine that does not respond, must not delay the step.
    let _ = tokio::time::timeout(SWEEP_TIME, sweep(&engine, &owner, log)).await;
    let name = name()?;
    let network = Network::of(&own);
    let audit = options
        .has_audit_file
        .then(|| audit_file(&own, environment))
        .transpose()?;
    let (audit_file, audit_mount) = audit.unzip();
    let placement = Placement {
        listen: network.listen(),
        hosts: Vec::new(),
        stop_key: None,
        audit_output: true,
        audit_files: audit_file
            .iter()
            .filter_map(|file| file.path().file_name())
            .map(|name| Path::new(AUDIT_DIRECTORY).join(name))
            .collect(),
    };
    let mut settings = settings(placement);
    let mut labels = owner.labels();
    labels.insert(NAME.to_owned(), name.clone());
    labels.insert(END.to_owned(), end_of_life(settings.lifetime).to_string());
    let body = container(&own, &network, &name, labels, audit_mount);
    let started = async {
        engine.create(&name, body).await?;
        let attached = engine.attach(&name).await?;
        engine.start(&name).await?;
        let address = network.address(&engine, &name, options).await?;
        settings.placement.hosts = address.hosts;
        let listens_at = pass_settings(attached, &settings).await?;
        state::save(environment, &[(state::GATEWAY_NAME, name.as_str().into())])?;
        anyhow::Ok((address.url.unwrap_or(listens_at), address.url_in_containers))
    };
    match started.await {
        Ok((url, url_in_containers)) => Ok(Launched {
            url,
            url_in_containers,
            audit_file,
        }),
        Err(error) => {
            // Also after a failed creation, which the engine may complete after the time limit.
            let _ = engine.remove(&name).await;
            Err(error)
        }
    }
}

/// Stops the gateways of this step: those that have its labels. Also works without the saved name: act passes no
/// state to the post phase, and a step can be killed before it saves the name.
pub(super) async fn stop(
    engine: Option<SocketAddr>,
    environment: &Environment,
    log: &mut Log<'_>,
) -> Vec<Ended> {
    let saved = state::get(environment, state::GATEWAY_NAME);
    if saved.is_none() && !is_requested(environment) {
        return Vec::new();
    }
    if saved.is_some_and(|name| !is_name(name)) {
        return vec![Ended::unnamed("`gateway_name` is not a name", environment)];
    }
    let stopped = tokio::time::timeout(STOP_TIME, stop_all(engine, saved, environment));
    let timeout = |_| Err(EngineError::Timeout("stop a container", STOP_TIME));
    match stopped.await.unwrap_or_else(timeout) {
        Ok(stopped) if stopped.is_empty() && saved.is_some() => {
            let reason = "its container was removed".to_owned();
            vec![Ended::without_counts(EndError::Early(reason))]
        }
        Ok(stopped) => stopped,
        Err(error) if saved.is_some() => {
            vec![Ended::without_counts(EndError::Running(error.into()))]
        }
        Err(error) => {
            log.debug(format!("no gateway to stop: {error}"));
            Vec::new()
        }
    }
}

async fn stop_all(
    engine: Option<SocketAddr>,
    saved: Option<&str>,
    environment: &Environment,
) -> Result<Vec<Ended>, EngineError> {
    let engine = Engine::connect(engine, Duration::MAX).await?;
    let own = engine.own_container(IMAGE_LABEL).await?;
    let owner = Owner::new(&own, environment);
    let mut ours = engine.containers(NAME).await?;
    ours.retain(|container| owner.is_step_of(container));
    match saved {
        // Two steps can have the same labels, for example in two composite actions.
        Some(name) => ours.retain(|container| label(container, NAME) == Some(name)),
        // Without the mount, the steps of all jobs of a matrix have the same labels.
        None if owner.mount.is_empty() => ours.clear(),
        None => {}
    }
    let mut stopped = Vec::new();
    for container in ours {
        if let Some(id) = container.id {
            stopped.push(stop_one(&engine, &id, environment).await);
        }
    }
    Ok(stopped)
}

/// Stops and removes a gateway, and reads its log, in whatever state it is.
async fn stop_one(engine: &Engine, id: &str, environment: &Environment) -> Ended {
    let state = engine
        .inspect(id)
        .await
        .map(|container| container.state.unwrap_or_default());
    let was_running = state
        .as_ref()
        .is_ok_and(|state| state.running == Some(true));
    let stopped = match &state {
        Ok(_) if was_running => engine.stop(id).await,
        _ => Ok(()),
    };
    let log = engine.log(id).await;
    let removed = engine.remove(id).await;
    let counts = log.map(|log| Counts::from_audit(&log));
    if let Err(error) = removed {
        return Ended {
            counts: counts.ok(),
            error: Some(EndError::Running(error.into())),
        };
    }
    let (state, counts) = match (stopped.and(state), counts) {
        (Ok(state), Ok(counts)) => (state, counts),
        (Err(error), counts) => {
            return Ended {
                counts: counts.ok(),
                error: Some(EndError::Incomplete(error.into())),
            };
        }
        (_, Err(error)) => return Ended::without_counts(EndError::Incomplete(error.into())),
    };
    match (state.status, state.oom_killed, state.exit_code) {
        // It was never started.
        (Some(ContainerStateStatusEnum::CREATED), ..) => Ended {
            counts: None,
            error: None,
        },
        _ if was_running && counts.end.is_some() => Ended::new(counts, None),
        _ if was_running => {
            let missing = anyhow!("its log does not contain the last line");
            Ended::new(counts, Some(EndError::Incomplete(missing)))
        }
        (_, out_of_memory, code) => Ended::early(counts, environment, || match code {
            _ if out_of_memory == Some(true) => "its container ran out of memory".to_owned(),
            Some(code) if code != 0 => format!("its container exited with code {code}"),
            _ => "another program stopped it".to_owned(),
        }),
    }
}

/// Removes what earlier jobs have left: gateways of an earlier job with the same temporary directory, gateways
/// whose life is over, and gateways that ended some time ago.
async fn sweep(engine: &Engine, owner: &Owner, log: &mut Log<'_>) {
    let gateways = match engine.containers(NAME).await {
        Ok(gateways) => gateways,
        Err(error) => return log.debug(format!("no gateway was removed: {error}")),
    };
    for gateway in gateways {
        let Some(id) = gateway.id.as_ref().filter(|_| is_gateway(&gateway)) else {
            continue;
        };
        if owner.is_job_of(&gateway) {
            // Its post phase reports how it ended.
            continue;
        }
        let end = label(&gateway, END).and_then(|end| end.parse().ok());
        let is_over = end.is_some_and(|end: u64| end < seconds_since_epoch());
        let is_stuck = is_over && !has_ended(&gateway);
        if is_stuck || owner.has_mount_of(&gateway) || ended_some_time_ago(engine, &gateway).await {
            let removed = engine.remove(id).await;
            let outcome = removed.map_or_else(|error| error.to_string(), |()| "removed".to_owned());
            log.debug(format!("gateway {}: {outcome}", Quote::new(id)));
        }
    }
}

/// Whether a gateway ended long enough ago that no post phase is reading its log.
async fn ended_some_time_ago(engine: &Engine, gateway: &ContainerSummary) -> bool {
    let Some(id) = gateway.id.as_ref().filter(|_| has_ended(gateway)) else {
        return false;
    };
    let since = engine
        .inspect(id)
        .await
        .ok()
        .and_then(|own| own.state?.finished_at)
        .and_then(|at| humantime::parse_rfc3339_weak(&at).ok())
        .and_then(|at| at.elapsed().ok());
    since.is_none_or(|since| since > REPORT_TIME)
}

/// The step that a gateway belongs to.
struct Owner {
    /// The directory of the runner's file commands on the machine of the engine. One job at a time uses it.
    mount: String,
    job: [String; JOB.len()],
    step: String,
}

impl Owner {
    fn new(own: &ContainerInspectResponse, environment: &Environment) -> Self {
        let variable = |name: &str| environment.get(name).unwrap_or_default().to_owned();
        let mount = [files::STATE, files::OUTPUT, files::ENV]
            .iter()
            .find_map(|name| environment.path(name))
            .and_then(|commands| path_on_host(own, commands.parent()?))
            .unwrap_or_default();
        Self {
            mount: mount.to_string_lossy().into_owned(),
            job: JOB.map(|(_, name)| variable(name)),
            step: variable(STEP.1),
        }
    }

    fn labels(&self) -> HashMap<String, String> {
        JOB.iter()
            .map(|(label, _)| *label)
            .zip(&self.job)
            .chain([(MOUNT, &self.mount), (STEP.0, &self.step)])
            .map(|(label, value)| (label.to_owned(), value.clone()))
            .collect()
    }

    fn has_mount_of(&self, container: &ContainerSummary) -> bool {
        !self.mount.is_empty() && label(container, MOUNT) == Some(&self.mount)
    }

    fn is_job_of(&self, container: &ContainerSummary) -> bool {
        let mut job = JOB.iter().zip(&self.job);
        label(container, MOUNT) == Some(&self.mount)
            && job.all(|((name, _), value)| label(container, name) == Some(value))
    }

    fn is_step_of(&self, container: &ContainerSummary) -> bool {
        is_gateway(container)
            && self.is_job_of(container)
            && label(container, STEP.0) == Some(&self.step)
    }
}

/// Whether a container that was listed is a gateway. Another container can have the same labels, for example one
/// whose image or settings were copied.
fn is_gateway(container: &ContainerSummary) -> bool {
    let has_name = |name: &str| {
        let mut names = container.names.iter().flatten();
        is_name(name) && names.any(|own| own.strip_prefix('/') == Some(name))
    };
    // Podman lists only the argument.
    let commands = [&COMMAND.join(" "), COMMAND[1]];
    let command = container.command.as_deref();
    command.is_some_and(|command| commands.contains(&command))
        && label(container, NAME).is_some_and(has_name)
}

fn label<'a>(container: &'a ContainerSummary, name: &str) -> Option<&'a str> {
    container.labels.as_ref()?.get(name).map(String::as_str)
}

/// The container: the program of the image without the rights that it does not need.
fn container(
    own: &ContainerInspectResponse,
    network: &Network,
    name: &str,
    labels: HashMap<String, String>,
    audit_mount: Option<String>,
) -> ContainerCreateBody {
    let is_bridge = matches!(network, Network::Bridge(_));
    // As for the step: how names are resolved. Containers that share a network share these settings too, and the
    // engine rejects others. On the network of the machine, they do not.
    let resolver = own
        .host_config
        .clone()
        .filter(|_| !network.has_foreign_resolver())
        .unwrap_or_default();
    let binding = PortBinding {
        host_ip: Some(Ipv4Addr::LOCALHOST.to_string()),
        host_port: None,
    };
    let endpoint = EndpointSettings {
        aliases: Some(vec![name.to_owned()]),
        ..EndpointSettings::default()
    };
    let [program, argument] = COMMAND;
    ContainerCreateBody {
        image: own.image.clone(),
        entrypoint: Some(vec![program.to_owned()]),
        cmd: Some(vec![argument.to_owned()]),
        user: Some(format!("{USER}:{USER}")),
        labels: Some(labels),
        open_stdin: Some(true),
        stdin_once: Some(true),
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        exposed_ports: is_bridge.then(|| vec![port_key()]),
        networking_config: network.has_names().then(|| NetworkingConfig {
            endpoints_config: Some([(network.mode().to_owned(), endpoint)].into()),
        }),
        host_config: Some(HostConfig {
            network_mode: Some(network.mode().to_owned()),
            port_bindings: is_bridge.then(|| [(port_key(), Some(vec![binding]))].into()),
            dns: resolver.dns,
            dns_options: resolver.dns_options,
            dns_search: resolver.dns_search,
            extra_hosts: resolver.extra_hosts,
            binds: audit_mount.map(|mount| vec![mount]),
            readonly_rootfs: Some(true),
            cap_drop: Some(vec!["ALL".to_owned()]),
            security_opt: Some(vec!["no-new-privileges".to_owned()]),
            memory: Some(MEMORY),
            memory_swap: Some(MEMORY),
            pids_limit: Some(PROCESSES),
            // Other drivers may keep nothing to read.
            log_config: Some(HostConfigLogConfig {
                typ: Some("json-file".to_owned()),
                config: Some(
                    [("max-size", MAX_LOG), ("max-file", "1")]
                        .map(|(name, value)| (name.to_owned(), value.to_owned()))
                        .into(),
                ),
            }),
            auto_remove: Some(false),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

/// Passes the settings to the gateway, and returns the URL of its reply.
async fn pass_settings(
    attached: AttachContainerResults,
    settings: &Settings,
) -> anyhow::Result<Url> {
    let AttachContainerResults {
        mut output,
        mut input,
    } = attached;
    tokio::time::timeout(START_TIMEOUT, async {
        let line = settings.to_line()?;
        input.write_all(line.expose_secret().as_bytes()).await?;
        input.flush().await?;
        let mut reply = Vec::new();
        while !reply.contains(&b'\n') && reply.len() <= MAX_REPLY {
            match output.next().await {
                Some(Ok(LogOutput::StdOut { message })) => reply.extend_from_slice(&message),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => break,
            }
        }
        let reply = String::from_utf8_lossy(&reply);
        // The engine can send the first lines of the audit with it.
        let line = reply.lines().next().unwrap_or_default();
        Reply::parse(line, settings.placement.listen.ip())
            .map_err(|error| anyhow!("{}", Quote::new(&error)))
    })
    .await
    .unwrap_or_else(|_| Err(anyhow!("no reply within {}", seconds(START_TIMEOUT))))
    .map_err(|error| {
        anyhow!(
            "the gateway could not start: {error:#}\n\
             hint: if the message names no cause, check the memory of the runner and its Docker engine"
        )
    })
}

/// The file of the audit, and the mount of its directory.
fn audit_file(
    own: &ContainerInspectResponse,
    environment: &Environment,
) -> anyhow::Result<(NewFile, String)> {
    let temporary = temp::directory(environment)?;
    path_on_host(own, &temporary).context(
        "`RUNNER_TEMP` is not mounted into the action's container, so there can be no audit file\n\
         hint: remove `audit_file`; the audit is in the log of the gateway's container",
    )?;
    let file = temp::create_shared(environment, USER)?;
    let directory = file.path().parent().unwrap_or(&temporary);
    let on_host = path_on_host(own, directory).unwrap_or_default();
    let mount = format!("{}:{AUDIT_DIRECTORY}", on_host.display());
    Ok((file, mount))
}

/// The path of a file or directory of the container `own` on the machine of the engine.
fn path_on_host(own: &ContainerInspectResponse, path: &Path) -> Option<PathBuf> {
    let (source, rest) = own
        .mounts
        .iter()
        .flatten()
        .filter_map(|mount| {
            let rest = path.strip_prefix(mount.destination.as_ref()?).ok()?;
            Some((mount.source.as_ref()?, rest))
        })
        // The innermost mount.
        .min_by_key(|(_, rest)| rest.as_os_str().len())?;
    Some(Path::new(source).iter().chain(rest).collect())
}

/// A random name, which is also a host name.
fn name() -> anyhow::Result<String> {
    let key = keys::random()?;
    let random = key.expose_secret()[..NAME_LENGTH].to_ascii_lowercase();
    Ok(format!("{NAME_PREFIX}{random}"))
}

/// Whether a text has the form of such a name.
fn is_name(text: &str) -> bool {
    let random = text.strip_prefix(NAME_PREFIX).unwrap_or_default();
    random.len() == NAME_LENGTH && random.bytes().all(|b| b.is_ascii_alphanumeric())
}

fn seconds_since_epoch() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

fn end_of_life(lifetime: Duration) -> u64 {
    // The container may be created a little before the gateway starts.
    seconds_since_epoch() + lifetime.as_secs() + START_TIMEOUT.as_secs()
}
