//! Everything one run needs, of its own: servers, network, processes, provider, customers and their endpoint.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gatepost::sandbox;

use crate::fleet::Fleet;
use crate::ledger::Ledger;
use crate::links::{Ends, Link, Links};
use crate::load::{Crowd, Load};
use crate::small_disk::SmallDisk;
use crate::support::queues::Queues;
use crate::support::receiver::Receiver;
use crate::support::services::{Postgres, RabbitMq, Way, free_port};
use crate::support::world::{Customer, World};

/// How many customers send. The first one has a webhook endpoint.
const CUSTOMERS: usize = 4;
/// More calls than any run makes: a call the provider forgot would look like one that never was.
const CALLS_KEPT: usize = 2_000_000;

/// One run's parts.
pub struct Stage {
    /// The database's own disk, where it has one.
    pub disk: Option<SmallDisk>,
    pub postgres: Postgres,
    pub rabbitmq: RabbitMq,
    pub world: World,
    pub links: Links,
    pub fleet: Fleet,
    pub queues: Queues,
    pub receiver: Receiver,
    pub customers: Vec<Customer>,
    pub ledger: Arc<Ledger>,
    /// How many jobs were put into queues that nobody can work on.
    pub poison: u32,
    /// Strikes at the network go from link to link.
    pub next_link: usize,
}

impl Stage {
    /// All of it, ready; with a small disk for the database, if that is wanted.
    pub async fn set(small_disk: bool) -> Self {
        let mut disk = None;
        let postgres = Postgres::start_in(Way::Local, |folder| {
            disk = small_disk.then(|| SmallDisk::in_folder(folder));
        });
        let (postgres, rabbitmq) = tokio::join!(postgres, RabbitMq::start(Way::Local));
        let callback_port = free_port();
        let mut world = World::with_sandbox(postgres.url(), rabbitmq.url(), |settings| sandbox::Settings {
            callback_url: Some(format!("http://127.0.0.1:{callback_port}/callbacks/meta")),
            callback_attempts: 40,
            callback_capacity: 1_000_000,
            calls_kept: CALLS_KEPT,
            hold: Duration::from_secs(15),
            ..settings
        })
        .await;
        world.let_crowds_pass();
        for (name, value) in [
            ("RUST_LOG", "warn"),
            ("GATEPOST_PROVIDER_TIMEOUT_MS", "5000"),
            ("GATEPOST_LEASE_MS", "10000"),
            ("GATEPOST_ACCEPT_DUE_MS", "5000"),
            ("GATEPOST_UNKNOWN_DEADLINE_MS", "20000"),
            ("GATEPOST_PROBE_MS", "2000"),
        ] {
            world.set(name, value);
        }
        let receiver = Receiver::start().await;
        let ends = Ends {
            gateway: SocketAddr::from(([127, 0, 0, 1], world.gateway_port)),
            postgres: end(&world.database_url),
            rabbitmq: end(&world.amqp_url),
            provider: end(&world.sandbox_url),
            customer: end(&receiver.url),
            callback_port,
        };
        let links = Links::between(&ends).await;
        world.sandbox_url = format!("http://{}/v23.0", links.address(Link::DeliverProvider));
        let customers = customers(&world, &links, &receiver).await;
        let fleet = Fleet::start(&world, &links).await;
        let queues = Queues::of(&world).await;
        Self {
            disk,
            postgres,
            rabbitmq,
            world,
            links,
            fleet,
            queues,
            receiver,
            customers,
            ledger: Arc::default(),
            poison: 0,
            next_link: 0,
        }
    }

    /// The customers' stream of requests.
    pub fn load(&self, rate: u32, crowd: Crowd, seed: u64) -> Load {
        Load {
            customers: self.customers.clone(),
            url: format!("http://{}", self.links.address(Link::ClientGateway)),
            rate,
            crowd,
            seed,
            ledger: Arc::clone(&self.ledger),
        }
    }

    /// Ends everything; gives the processes that had given up.
    pub async fn strike_the_set(mut self) -> Vec<String> {
        let ended = self.fleet.ended_by_themselves();
        drop(self.fleet);
        drop(self.queues);
        if let Some(disk) = self.disk {
            self.postgres.kill().await;
            drop(disk);
        }
        tokio::join!(self.postgres.shutdown(), self.rabbitmq.shutdown());
        ended
    }
}

async fn customers(world: &World, links: &Links, receiver: &Receiver) -> Vec<Customer> {
    let mut customers = Vec::new();
    for _ in 0..CUSTOMERS {
        customers.push(world.customer().await);
    }
    let url = format!("http://{}/hooks", links.address(Link::NotifyCustomer));
    let made = world.admin(&["webhook", "create", "--account", &customers[0].account, "--url", &url]).await;
    receiver.trust(made["secret"].as_str().expect("the secret is shown once"));
    customers
}

/// The address in a URL.
pub fn end(url: &str) -> SocketAddr {
    let rest = url.split_once("://").expect("a URL").1;
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    rest.split('/').next().and_then(|address| address.parse().ok()).expect("an address with a port")
}
