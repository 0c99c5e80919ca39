//! The faults. Each strikes once and heals what it broke; a run strikes again and again.

mod clock;
mod disk;
mod endpoints;
mod jobs;
mod network;
mod processes;
mod schema;
mod servers;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::SmallRng;
use tokio::time::sleep;

use crate::links::Link;
use crate::load::Crowd;
use crate::small_disk::SmallDisk;
use crate::stage::Stage;

/// One strike under way.
type Strike<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// A fault.
#[derive(Clone, Copy)]
pub struct Fault {
    pub name: &'static str,
    /// Whether a short run has it.
    pub brief: bool,
    pub crowd: Crowd,
    /// Whether the database gets a disk of its own that can be filled.
    pub small_disk: bool,
    /// A run goes on until it has struck so often.
    pub strikes: u32,
    /// Why it cannot be done on this machine, if so.
    pub missing: fn() -> Option<&'static str>,
    pub strike: for<'a> fn(&'a mut Stage, &'a mut SmallRng) -> Strike<'a>,
}

macro_rules! fault {
    ($name:expr, $brief:literal, $crowd:ident, $strike:path) => {
        fault!($name, $brief, $crowd, $strike, false, || None)
    };
    ($name:expr, $brief:literal, $crowd:ident, $strike:path, $small_disk:literal, $missing:expr) => {
        Fault {
            name: $name,
            brief: $brief,
            crowd: Crowd::$crowd,
            small_disk: $small_disk,
            strikes: 1,
            missing: $missing,
            strike: |stage, random| Box::pin($strike(stage, random)),
        }
    };
}

const ANYTHING: &str = "everything at random";

/// A fault of the network, which strikes each link.
const fn everywhere(fault: Fault) -> Fault {
    Fault { strikes: Link::ALL.len() as u32, ..fault }
}

/// All faults, in the order of the table.
pub const FAULTS: &[Fault] = &[
    fault!("none", false, Calm, nothing),
    fault!("gateway killed", false, Calm, processes::gateway),
    fault!("deliver killed", false, Calm, processes::deliver),
    fault!("notify killed", false, Calm, processes::notify),
    fault!("sweep killed", false, Calm, processes::sweep),
    fault!("two sweeps, each killed", false, Calm, processes::two_sweeps),
    fault!("Postgres killed", false, Calm, servers::postgres),
    fault!("RabbitMQ killed", false, Calm, servers::rabbitmq),
    fault!("RabbitMQ wiped", false, Calm, servers::wiped_rabbitmq),
    fault!("RabbitMQ's memory alarm", false, Calm, servers::alarmed_rabbitmq),
    fault!("the database's disk full", false, Calm, disk::full, true, SmallDisk::missing),
    everywhere(fault!("connections cut", false, Calm, network::cut)),
    everywhere(fault!("connections stalled", false, Calm, network::stall)),
    everywhere(fault!("connections slow", false, Calm, network::slow)),
    everywhere(fault!("connections reset", false, Calm, network::reset)),
    fault!("provider's answers lost, refused, garbled", false, Troubled, nothing),
    fault!("provider slow, dead, garbled", false, Calm, endpoints::provider),
    fault!("customer's endpoint slow, dead, garbled", false, Calm, endpoints::customer),
    fault!("poison, huge and repeated jobs", false, Calm, jobs::strange),
    fault!("a process's clock an hour off", false, Calm, clock::jump, false, clock::missing),
    fault!("schema migrated while serving", false, Calm, schema::migrate),
    fault!(ANYTHING, true, Troubled, anything),
];

/// No fault: what the figures of the others are compared with.
async fn nothing(_: &mut Stage, _: &mut SmallRng) {
    sleep(Duration::from_secs(1)).await;
}

/// Any of the others that can be done here.
async fn anything(stage: &mut Stage, random: &mut SmallRng) {
    let others = FAULTS
        .iter()
        .filter(|fault| fault.name != ANYTHING && !fault.small_disk && (fault.missing)().is_none());
    let others: Vec<&Fault> = others.collect();
    (others[random.random_range(0..others.len())].strike)(stage, random).await;
}

/// A pause of the fault's own length, in milliseconds.
async fn pause(random: &mut SmallRng, from: u64, to: u64) {
    sleep(Duration::from_millis(random.random_range(from..to))).await;
}
