//! What a bench needs, of its own: a database, queues, a sandbox, processes and customers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gatepost::config::environment;
use gatepost::sandbox;
use tokio_postgres::Client;

use crate::filling;
use crate::letters::Letters;
use crate::load::{Load, Pace};
use crate::sql;
use crate::support::process::{Binary, Process};
use crate::support::queues::Queues;
use crate::support::world::{Customer, World, connect};

/// A pacing rate that is in nobody's way.
pub const UNPACED: &str = "100000/s,burst=1000";

/// The servers that `scripts/services` has provided.
pub struct Servers {
    pub database_url: String,
    pub amqp_url: String,
}

impl Servers {
    /// Finds them in the environment.
    pub fn find() -> Self {
        let required =
            |name| environment(name).unwrap_or_else(|| panic!("{name} is not set: run scripts/bench"));
        Self { database_url: required("DATABASE_URL"), amqp_url: required("AMQP_URL") }
    }

    /// A connection to the maintenance database.
    pub async fn connect(&self) -> Client {
        connect(&self.database_url).await
    }
}

/// How a stage is set.
#[derive(Clone)]
pub struct Plan {
    /// The pacing rate of each customer that the operator's commands make.
    pub customers: Vec<&'static str>,
    /// So many more like the last of them.
    pub copies: usize,
    /// The people each customer has written to before.
    pub people: u64,
    /// How many calls the provider remembers one by one; it counts them all.
    pub calls_kept: usize,
}

/// One bench's parts. The sandbox answers at once and reports nothing.
pub struct Stage {
    pub world: World,
    pub database: Client,
    pub customers: Vec<Customer>,
    pub processes: Vec<Process>,
    people: u64,
}

impl Stage {
    /// All of it but processes.
    pub async fn set(servers: &Servers, plan: &Plan) -> Self {
        let mut world = World::with_sandbox(&servers.database_url, &servers.amqp_url, |settings| {
            sandbox::Settings { callback_url: None, calls_kept: plan.calls_kept, ..settings }
        })
        .await;
        world.set("RUST_LOG", "warn");
        let database = world.database().await;
        sql::prefer_indexes(&database).await;
        let mut customers = Vec::new();
        for rate in &plan.customers {
            customers.push(world.customer_with(rate).await);
        }
        if let (Some(last), Some(rate)) = (customers.last(), plan.customers.last()) {
            let rate = rate.parse().expect("a rate");
            customers.extend(filling::copies(&database, last, rate, plan.copies).await);
        }
        let accounts: Vec<i64> = customers.iter().map(|customer| customer.account_id).collect();
        filling::know(&database, &accounts, plan.people).await;
        Self { world, database, customers, processes: Vec::new(), people: plan.people }
    }

    /// Starts these processes and waits until they are ready.
    pub async fn start(&mut self, binaries: &[Binary]) {
        let first = self.processes.len();
        self.processes.extend(binaries.iter().map(|binary| self.world.launch(*binary)));
        for process in &mut self.processes[first..] {
            process.wait_until_ready().await;
        }
    }

    /// Where the gateway listens.
    pub fn gateway(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.world.gateway_port))
    }

    /// Sends of all customers.
    pub fn letters(&self) -> Arc<Letters> {
        Arc::new(Letters::of(&self.customers, self.people))
    }

    /// A load of these sends.
    pub fn load(&self, letters: &Arc<Letters>, connections: usize, pace: Pace, time: Duration) -> Load {
        let requests: Arc<Letters> = Arc::clone(letters);
        Load {
            address: self.gateway(),
            requests,
            expected: 202,
            connections,
            pace,
            time,
            most: u64::MAX,
            room: None,
        }
    }

    /// How many calls the provider has got.
    pub async fn called(&self) -> u64 {
        self.world.calls("").await["total"].as_u64().expect("a number")
    }

    /// Ends the processes; what they have warned of is shown.
    pub async fn end_processes(&mut self) {
        for process in self.processes.drain(..) {
            let log = process.log_end();
            if !log.is_empty() {
                eprintln!("bench: {:?} logged:\n{log}", process.binary);
            }
            process.kill().await;
        }
    }

    /// Ends the processes and removes database and queues.
    pub async fn strike(mut self, servers: &Servers) {
        self.end_processes().await;
        Queues::of(&self.world).await.wipe().await;
        let name = self.world.database_url.rsplit('/').next().unwrap_or_default();
        let drop = format!("drop database {name} with (force)");
        servers.connect().await.batch_execute(&drop).await.expect("it can be dropped");
    }
}
