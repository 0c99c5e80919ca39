//! The product's processes, each with its own way to the servers, started again whenever a fault ended one.

use crate::links::{Link, Links};
use crate::support::process::{Binary, Process};
use crate::support::services::free_port;
use crate::support::world::World;

/// How many of each there are.
const FLEET: [Binary; 5] = [Binary::Gateway, Binary::Deliver, Binary::Deliver, Binary::Notify, Binary::Sweep];

/// One place in the fleet.
struct Place {
    binary: Binary,
    environment: Vec<(String, String)>,
    process: Process,
}

/// The processes.
pub struct Fleet {
    places: Vec<Place>,
    /// Those found ended when they were to be killed.
    ended: Vec<String>,
    folder: std::path::PathBuf,
}

impl Fleet {
    /// Starts all of them and waits until they are ready.
    pub async fn start(world: &World, links: &Links) -> Self {
        let mut fleet = Self { places: Vec::new(), ended: Vec::new(), folder: world.folder.clone() };
        for binary in FLEET {
            fleet.add(world, links, binary);
        }
        fleet.wait_until_ready().await;
        fleet
    }

    /// One more.
    pub fn add(&mut self, world: &World, links: &Links, binary: Binary) {
        let environment = environment(world, links, binary);
        let process = Process::start(binary, &environment, free_port(), &self.folder);
        self.places.push(Place { binary, environment, process });
    }

    pub async fn wait_until_ready(&mut self) {
        for place in &mut self.places {
            place.process.wait_until_ready().await;
        }
    }

    /// How many there are of it.
    pub fn count(&self, binary: Binary) -> usize {
        self.places.iter().filter(|place| place.binary == binary).count()
    }

    /// `kill -9` to the `n`-th of its kind; another one takes its place at once.
    pub async fn kill(&mut self, binary: Binary, n: usize) {
        self.replace(binary, n, &[]).await;
    }

    /// As [`Self::kill`]; the other one has these variables besides.
    pub async fn replace(&mut self, binary: Binary, n: usize, extra: &[(String, String)]) {
        let place =
            self.places.iter_mut().filter(|place| place.binary == binary).nth(n).expect("there are so many");
        if place.process.has_ended() {
            self.ended.push(format!("{binary:?} ended by itself:\n{}", place.process.log_end()));
        }
        place.process.kill_now().await;
        let environment = [&place.environment[..], extra].concat();
        place.process = Process::start(binary, &environment, free_port(), &self.folder);
    }

    /// The id of the `n`-th of its kind.
    pub fn id(&self, binary: Binary, n: usize) -> Option<u32> {
        self.places.iter().filter(|place| place.binary == binary).nth(n)?.process.id()
    }

    /// Those that ended without being killed; a process that gives up leaves a hole nobody sees.
    pub fn ended_by_themselves(&mut self) -> Vec<String> {
        let mut ended = std::mem::take(&mut self.ended);
        for place in &mut self.places {
            if place.process.has_ended() {
                ended.push(format!("{:?} ended by itself:\n{}", place.binary, place.process.log_end()));
            }
        }
        ended
    }

    /// What each is and its id, while it runs.
    pub fn ids(&self) -> Vec<(String, u32)> {
        let ids =
            self.places.iter().filter_map(|place| Some((format!("{:?}", place.binary), place.process.id()?)));
        ids.collect()
    }
}

/// A process's settings, with the addresses of its own links.
fn environment(world: &World, links: &Links, binary: Binary) -> Vec<(String, String)> {
    let (postgres, rabbitmq) = match binary {
        Binary::Gateway => (Link::GatewayPostgres, Link::GatewayRabbitMq),
        Binary::Deliver => (Link::DeliverPostgres, Link::DeliverRabbitMq),
        Binary::Notify => (Link::NotifyPostgres, Link::NotifyRabbitMq),
        Binary::Sweep => (Link::SweepPostgres, Link::SweepRabbitMq),
    };
    let mut environment = world.environment();
    let ways = [
        ("DATABASE_URL", through(&world.database_url, links.address(postgres))),
        ("AMQP_URL", through(&world.amqp_url, links.address(rabbitmq))),
        ("GATEPOST_LISTEN", format!("127.0.0.1:{}", world.gateway_port)),
    ];
    for (name, value) in ways {
        environment.retain(|(known, _)| known != name);
        environment.push((name.to_owned(), value));
    }
    environment
}

/// The same URL with another host and port.
fn through(url: &str, address: std::net::SocketAddr) -> String {
    let (before, rest) = url.rsplit_once('@').expect("an address with a user");
    let (_, path) = rest.split_once('/').expect("an address with a path");
    format!("{before}@{address}/{path}")
}
