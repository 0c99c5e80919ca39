//! One fault under load, from the empty stage to the reconciled ledgers.

use std::collections::HashMap;
use std::time::Duration;

use gatepost::broker::Queue;
use rand::RngExt;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::time::{Instant, sleep};

use crate::reconcile::{self, Reconciled};
use crate::setting::Setting;
use crate::stage::Stage;
use crate::strikes::Fault;

/// The load flows undisturbed for so long first.
const WARM_UP: Duration = Duration::from_secs(2);
/// Between two strikes there is a pause of up to so many milliseconds.
const BREATH: u64 = 2_000;
/// After the load everything must have come to its end in this time: a paced sender may have a backlog of five minutes, and a
/// throttled one rests half a minute again and again.
const SETTLED: Duration = Duration::from_secs(600);

/// After the last fault sends must be accepted again in this time.
const BACK: Duration = Duration::from_secs(20);

/// What a run came to.
pub struct Outcome {
    pub name: &'static str,
    pub strikes: u32,
    /// Accepted messages a second while the load flowed.
    pub held: f64,
    /// Tries that were put off, by status; 0: no answer.
    pub put_off: HashMap<u16, u64>,
    /// How long an accepted send waited for its answer: at 99 of 100, and the longest.
    pub waits: (Duration, Duration),
    /// From the end of the load until nothing was due any more.
    pub settled: Duration,
    pub reconciled: Reconciled,
    /// What must not be; empty when all is well.
    pub wrong: Vec<String>,
}

/// Runs one fault.
pub async fn run(fault: &Fault, setting: &Setting) -> Outcome {
    let seed =
        fault.name.bytes().fold(setting.seed, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
    let mut random = SmallRng::seed_from_u64(seed);
    let mut stage = Stage::set(fault.small_disk).await;
    let load = stage.load(setting.rate, fault.crowd, seed).start();
    let begun = Instant::now();
    sleep(WARM_UP).await;
    let mut strikes = 0;
    while begun.elapsed() < setting.time || strikes < fault.strikes {
        (fault.strike)(&mut stage, &mut random).await;
        strikes += 1;
        sleep(Duration::from_millis(random.random_range(200..BREATH))).await;
    }
    stage.links.heal().await;
    let mut wrong = Vec::new();
    if !accepts_again(&stage).await {
        wrong.push(format!("nothing was accepted {BACK:?} after the last fault"));
    }
    load.end().await;
    let flowed = begun.elapsed();
    let settled = settle(&stage).await.unwrap_or_else(|waiting| {
        wrong.push(waiting);
        SETTLED
    });
    let parked = stage.queues.depth(Queue::Parked).await;
    if parked > stage.poison {
        wrong.push(format!("{parked} jobs are parked, of which {} are poison", stage.poison));
    }
    let reconciled = reconcile::reconcile(&stage, fault.crowd, &[&stage.ledger]).await;
    wrong.extend(reconciled.wrong.iter().cloned());
    let (put_off, waits) = (stage.ledger.tries_put_off(), stage.ledger.waits());
    let held = stage.ledger.accepted() as f64 / flowed.as_secs_f64();
    wrong.extend(stage.strike_the_set().await);
    Outcome { name: fault.name, strikes, held, put_off, waits, settled, reconciled, wrong }
}

/// Whether sends are accepted while the load still flows.
async fn accepts_again(stage: &Stage) -> bool {
    let (before, healed) = (stage.ledger.accepted(), Instant::now());
    while healed.elapsed() < BACK {
        if stage.ledger.accepted() > before {
            return true;
        }
        sleep(Duration::from_millis(50)).await;
    }
    false
}

/// Waits until nothing is due any more. The hours that a failed webhook would wait for its next try are skipped: it is due
/// at once. An error says what still waits.
pub async fn settle(stage: &Stage) -> Result<Duration, String> {
    const SKIP: &str = "update webhook_deliveries set due_at = now(), not_before = null
        where status = 'pending' and not_before > now() + interval '2 seconds'";
    const WAITING: &str = "select (select count(*) from messages where due_at is not null),
        (select count(*) from webhook_deliveries where due_at is not null),
        (select count(*) from callbacks where due_at is not null)";
    let database = stage.world.database().await;
    let begun = Instant::now();
    loop {
        database.execute(SKIP, &[]).await.expect("the database answers");
        let row = database.query_one(WAITING, &[]).await.expect("the database answers");
        let waiting: [i64; 3] = [row.get(0), row.get(1), row.get(2)];
        if waiting == [0; 3] {
            return Ok(begun.elapsed());
        }
        if begun.elapsed() > SETTLED {
            return Err(format!("still due after {SETTLED:?}: messages, webhooks and callbacks {waiting:?}"));
        }
        sleep(Duration::from_millis(500)).await;
    }
}
