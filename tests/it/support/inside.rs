//! A gateway inside the test's own process, so that its clock can be moved.

use gatepost::broker::{Nodes, Topology};
use gatepost::config::Config;
use gatepost::gateway;
use gatepost::runtime::clock::Clock;
use gatepost::store::Pool;
use gatepost::wiring::Parts;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::services::free_port;
use super::world::World;

/// A gateway that stops when this is dropped.
pub struct InsideGateway {
    pub url: String,
    stop: CancellationToken,
}

impl InsideGateway {
    /// Starts a gateway with the world's settings and this clock, and waits until it listens.
    pub async fn start(world: &World, clock: Clock) -> Self {
        let address = format!("127.0.0.1:{}", free_port());
        let mut environment = world.environment();
        environment.push(("GATEPOST_LISTEN".to_owned(), address.clone()));
        let lookup =
            |name: &str| environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        let config = Config::read(&lookup).expect("the settings of a world are valid");
        let pool = Pool::new(&config.database_url, config.database_connections).expect("an address");
        let nodes = Nodes::parse(&config.amqp_url).expect("addresses");
        let topology = Topology::new(&config.queue_prefix);
        let stop = CancellationToken::new();
        let parts = Parts { config, pool, nodes, topology, clock, stop: stop.clone() };
        tokio::spawn(async move { gateway::run(parts).await.expect("the gateway runs") });
        super::eventually("the gateway listens", async || TcpStream::connect(&address).await.ok()).await;
        Self { url: format!("http://{address}"), stop }
    }
}

impl Drop for InsideGateway {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
