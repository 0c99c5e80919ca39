//! A server in a container.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use testcontainers::bollard::query_parameters::{KillContainerOptionsBuilder, RemoveContainerOptionsBuilder};
use testcontainers::core::IntoContainerPort;
use testcontainers::core::client::docker_client_instance;
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, GenericImage, ImageExt};
use tokio::time::{sleep, timeout};

use super::helper;
use super::server::{Kind, STOP};

/// The names of the containers that exist or are being made.
static NAMES: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// A container and its volumes, gone when it is dropped.
pub(super) struct Container {
    container: ContainerAsync<GenericImage>,
    name: String,
}

impl Container {
    /// Makes and starts a container whose port is published on this machine's loopback address.
    pub(super) async fn create<K: Kind>(port: u16, password: &str) -> Self {
        let answer = helper(&["container", K::NAME], &[]).await;
        let (image, name) = answer.split_once('\n').expect("the helper prints an image and a name");
        let (image, tag) = image.rsplit_once(':').unwrap_or((image, "latest"));
        let mut request = GenericImage::new(image, tag)
            .with_container_name(name)
            .with_mapped_port(port, K::PORT.tcp())
            .with_cmd(K::ARGUMENTS.iter().copied())
            .with_host_config_modifier(|host| {
                for binding in
                    host.port_bindings.iter_mut().flatten().filter_map(|(_, bindings)| bindings.as_mut())
                {
                    binding.iter_mut().for_each(|binding| binding.host_ip = Some("127.0.0.1".to_owned()));
                }
            });
        for (name, value) in K::environment(password) {
            request = request.with_env_var(name, value);
        }
        names().insert(name.to_owned());
        let container =
            request.start().await.unwrap_or_else(|error| panic!("a container of {image}:{tag}: {error}"));
        Self { container, name: name.to_owned() }
    }

    /// Starts the container again unless it runs.
    pub(super) async fn start(&mut self) {
        if !self.is_running().await {
            self.container.start().await.unwrap_or_else(|error| panic!("{}: {error}", self.name));
        }
    }

    pub(super) async fn is_running(&self) -> bool {
        self.container.is_running().await.unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// Stops the server cleanly, with the signal that the image names for that.
    pub(super) async fn stop(&mut self) {
        if self.is_running().await {
            let seconds = i32::try_from(STOP.as_secs()).expect("half a minute");
            let stopped = self.container.stop_with_timeout(Some(seconds)).await;
            stopped.unwrap_or_else(|error| panic!("{}: {error}", self.name));
        }
    }

    /// Kills the server; returns when it is gone.
    pub(super) async fn kill(&mut self) {
        let docker = docker_client_instance().await.expect("the engine that runs the container");
        let signal = KillContainerOptionsBuilder::default().signal("KILL").build();
        let killed = docker.kill_container(&self.name, Some(signal)).await;
        killed.unwrap_or_else(|error| panic!("{}: {error}", self.name));
        let gone = async {
            while self.is_running().await {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(STOP, gone).await.unwrap_or_else(|_| panic!("{} survives its killing", self.name));
    }

    pub(super) async fn remove(self) {
        let removed = self.container.rm().await;
        removed.unwrap_or_else(|error| panic!("{}: {error}", self.name));
    }

    /// The end of what the server wrote.
    pub(super) async fn log(&self) -> String {
        let stdout = self.container.stdout_to_vec().await.unwrap_or_default();
        let stderr = self.container.stderr_to_vec().await.unwrap_or_default();
        let log = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
        let skipped = log.lines().count().saturating_sub(30);
        log.lines().skip(skipped).collect::<Vec<_>>().join("\n")
    }
}

/// Removes every container of this process, for an end without destructors.
pub(super) async fn remove_all() {
    let names: Vec<String> = names().iter().cloned().collect();
    if names.is_empty() {
        return;
    }
    let docker = docker_client_instance().await.expect("the engine that runs the containers");
    for name in names {
        let force = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        let _ = docker.remove_container(&name, Some(force)).await; // most are removed already
    }
}

fn names() -> std::sync::MutexGuard<'static, BTreeSet<String>> {
    NAMES.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
