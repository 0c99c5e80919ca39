//! Three RabbitMQ nodes in a cluster, from installed packages, whose nodes and network can fail.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, LazyLock};

use futures_util::future::join_all;
use serde_json::Value;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::epmd::Epmd;
use super::eventually;
use super::proxy::Proxy;
use super::services::{LocalServer, RabbitMqKind, Way, free_port, is_installed};

/// How many nodes there are.
pub const NODES: usize = 3;

/// A cluster; dropping it ends its nodes and removes their data.
pub struct Cluster {
    nodes: Vec<Node>,
    _alone: OwnedMutexGuard<()>,
    /// The network by which a node reaches another.
    links: BTreeMap<(usize, usize), Proxy>,
}

struct Node {
    server: LocalServer,
    url: String,
    /// Its own view of where the others are.
    _epmd: Epmd,
}

impl Cluster {
    /// Starts three nodes and waits until they are one cluster.
    ///
    /// # Errors
    /// Why there can be none here: the servers come in containers, and RabbitMQ is not installed.
    pub async fn start(way: Way) -> Result<Self, String> {
        let mut cluster = Self::prepare(way).await?;
        let starting = cluster.nodes.iter_mut().map(Node::start);
        join_all(starting).await;
        cluster.wait_until_whole().await;
        Ok(cluster)
    }

    /// Starts the first node alone; [`Self::restart`] starts the others.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_first(way: Way) -> Result<Self, String> {
        let mut cluster = Self::prepare(way).await?;
        cluster.nodes[0].start().await;
        Ok(cluster)
    }

    async fn prepare(way: Way) -> Result<Self, String> {
        if way != Way::Local && !is_installed().await {
            return Err(
                "a cluster needs RabbitMQ to be installed, also where services are containers".to_owned()
            );
        }
        // Six nodes at once would be too much for the memory and the processors of a small machine.
        static ALONE: LazyLock<Arc<Mutex<()>>> = LazyLock::new(Arc::default);
        let alone = Arc::clone(&ALONE).lock_owned().await;
        let (password, cookie) = (secret(), secret());
        let ports: [u16; NODES] = std::array::from_fn(|_| free_port());
        let mut links = BTreeMap::new();
        let mut nodes = Vec::new();
        for from in 0..NODES {
            let mut reached_at = BTreeMap::from([(name(from), ports[from])]);
            for to in (0..NODES).filter(|to| *to != from) {
                let link = Proxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, ports[to]))).await;
                reached_at.insert(name(to), link.address().port());
                links.insert((from, to), link);
            }
            let epmd = Epmd::start(reached_at).await;
            let peers = (0..NODES).map(name).collect::<Vec<_>>().join(" ");
            let place = format!("{} {} {} {cookie} {peers}", name(from), epmd.port(), ports[from]);
            let port = free_port();
            let server = LocalServer::create::<RabbitMqKind>(port, &password, Some(place)).await;
            let url = format!("amqp://gatepost:{password}@127.0.0.1:{port}/%2f");
            nodes.push(Node { server, url, _epmd: epmd });
        }
        Ok(Self { nodes, _alone: alone, links })
    }

    /// The addresses of all nodes, as `AMQP_URL` takes them.
    pub fn urls(&self) -> String {
        self.nodes.iter().map(|node| node.url.as_str()).collect::<Vec<_>>().join(",")
    }

    /// The host and port of one node, as they are logged.
    pub fn address(&self, node: usize) -> String {
        let (_, rest) = self.nodes[node].url.rsplit_once('@').expect("an address with a user");
        rest.split('/').next().unwrap_or_default().to_owned()
    }

    /// Kills a node as a crash would; returns when it is gone.
    pub async fn kill(&mut self, node: usize) {
        self.nodes[node].server.end("KILL").await;
    }

    /// Starts a node that was killed, or never started, and waits until it has joined the others.
    pub async fn restart(&mut self, node: usize) {
        self.nodes[node].start().await;
        self.wait_until_whole().await;
    }

    /// Stops a node in its tracks: it holds its connections and answers nobody, until it is thawed.
    pub fn freeze(&self, node: usize) {
        self.nodes[node].server.signal("STOP");
    }

    /// Lets a frozen node go on.
    pub fn thaw(&self, node: usize) {
        self.nodes[node].server.signal("CONT");
    }

    /// Parts a node from the others as a network that swallows everything does. Clients reach it still.
    pub fn part(&mut self, node: usize) {
        for ((from, to), link) in &mut self.links {
            if *from == node || *to == node {
                link.stall();
            }
        }
    }

    /// Mends the network; what was under way arrives.
    pub async fn mend(&mut self) {
        for link in self.links.values_mut() {
            link.heal().await;
        }
    }

    /// The node that leads a queue, as far as the node `asked` knows.
    pub async fn leader(&self, asked: usize, queue: &str) -> usize {
        let leader = self.queue(asked, queue, "element(2, ra_leaderboard:lookup_leader(Name))").await;
        let found = (0..NODES).find(|node| leader.contains(&host(*node)));
        found.unwrap_or_else(|| panic!("a node of ours leads {queue}, not {leader}"))
    }

    /// On how many nodes a queue is kept, as far as the node `asked` knows.
    pub async fn replicas(&self, asked: usize, queue: &str) -> usize {
        let members = self.queue(asked, queue, "maps:get(nodes, amqqueue:get_type_state(Queue))").await;
        (0..NODES).filter(|node| members.contains(&host(*node))).count()
    }

    /// What a node itself knows of a queue. (`list_queues` asks all nodes, and waits for those that do not answer.)
    async fn queue(&self, asked: usize, queue: &str, expression: &str) -> String {
        let program = format!(
            "{{ok, Queue}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"/\">>, queue, <<\"{queue}\">>)),
             {{Name, _}} = amqqueue:get_pid(Queue), {{Name, {expression}}}."
        );
        self.tool(asked, &["rabbitmqctl", "eval", &program]).await
    }

    /// Runs one of RabbitMQ's tools for a node, which must succeed; gives what it prints.
    pub async fn tool(&self, node: usize, command: &[&str]) -> String {
        self.nodes[node].server.tool(command).await.unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }

    /// Waits until every node that runs sees every other that runs.
    async fn wait_until_whole(&mut self) {
        let running: Vec<usize> = (0..NODES).filter(|node| self.nodes[*node].server.is_running()).collect();
        for asked in &running {
            let status = ["rabbitmqctl", "cluster_status", "--formatter=json"];
            let what = format!("{} sees {} nodes", host(*asked), running.len());
            eventually(&what, async || {
                let status = self.nodes[*asked].server.tool(&status).await.ok()?;
                let status: Value = serde_json::from_str(&status).expect("an object in JSON");
                let seen = status["running_nodes"].as_array().expect("a list").len();
                (seen == running.len()).then_some(())
            })
            .await;
        }
    }

    /// Ends the cluster, without blocking the thread as dropping it does.
    pub async fn shutdown(self) {
        join_all(self.nodes.into_iter().map(|node| node.server.remove())).await;
    }
}

impl Node {
    async fn start(&mut self) {
        self.server.launch::<RabbitMqKind>(&self.url).await;
    }
}

fn name(node: usize) -> String {
    format!("node{node}")
}

/// The name by which RabbitMQ knows a node.
fn host(node: usize) -> String {
    format!("{}@localhost", name(node))
}

fn secret() -> String {
    format!("{:032x}", rand::random::<u128>())
}
