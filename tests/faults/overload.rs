//! Far more than the machine can do: memory stays bounded, what is refused is refused at once and told when to come back,
//! what is accepted is accepted quickly and delivered afterwards, and nobody else is slowed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::flood::{Answers, Flood, percentile};
use crate::ledger::{Known, Ledger};
use crate::load::{Crowd, Load};
use crate::memory::Memory;
use crate::reconcile::{self, Reconciled};
use crate::run::settle;
use crate::setting::Setting;
use crate::stage::Stage;
use crate::support::proxy::Proxy;
use crate::support::world::Customer;

/// How many customers flood, over how many connections.
const FLOODING: (usize, u32) = (3, 1_500);
/// Their pacing.
const RATE: &str = "400/s,burst=400";
/// Requests a second of a customer who minds his own business.
const QUIET: u32 = 20;
/// The most memory that a process may use, in KiB.
const MEMORY: u64 = 400 * 1024;
/// For what is accepted, at 99 of 100.
const QUICKLY: Duration = Duration::from_secs(1);

/// What came of it.
pub struct Overload {
    pub report: String,
    pub wrong: Vec<String>,
}

/// What became of a quiet customer's messages.
struct Quiet {
    accepted: usize,
    /// At the door, at 99 of 100.
    door: Duration,
    /// From there to the provider: at 50 and 99 of 100, and the longest.
    called: [Duration; 3],
}

/// Runs it: a quiet customer alone first, then beside the flood and beside a customer whose provider is dead.
pub async fn run(setting: &Setting) -> Overload {
    let mut stage = Stage::set(false).await;
    let quiet = stage.world.customer().await;
    let provider = stage.world.sandbox_url.clone();
    let mut dead_provider = Proxy::start(crate::stage::end(&provider)).await;
    stage.world.sandbox_url = format!("http://{}/v23.0", dead_provider.address());
    let dead = stage.world.customer().await;
    stage.world.sandbox_url = provider;
    let flooding = flooding(&stage).await;

    let [alone, beside, waiting] = [(); 3].map(|()| Arc::new(Ledger::default()));
    let load = load(&stage, &quiet, &alone, setting.seed).start();
    tokio::time::sleep(setting.time / 4).await;
    load.end().await;

    dead_provider.cut().await;
    let quiet_load = self::load(&stage, &quiet, &beside, setting.seed + 1).start();
    let dead_load = self::load(&stage, &dead, &waiting, setting.seed + 2).start();
    let memory = Memory::watch(stage.fleet.ids());
    let (connections, rate) = (FLOODING.1, setting.rate * 15);
    let gateway = SocketAddr::from(([127, 0, 0, 1], stage.world.gateway_port));
    let answers = Flood { gateway, customers: &flooding, connections, rate, time: setting.time }.run().await;
    let memory = memory.peak().await;
    quiet_load.end().await;
    dead_load.end().await;
    dead_provider.heal().await;
    let settled = settle(&stage).await;
    note(&stage, &answers);
    let ledgers = [&*stage.ledger, &*alone, &*beside, &*waiting];
    let reconciled = reconcile::reconcile(&stage, Crowd::Calm, &ledgers).await;
    let [alone, beside] = [alone, beside].map(|ledger| quiet_of(&stage, ledger));
    let (alone, beside) = (alone.await, beside.await);
    let mut wrong = wrong(setting, &answers, &memory, (&alone, &beside), &reconciled);
    wrong.extend(settled.as_ref().err().cloned());
    let report =
        report(setting, &answers, &memory, (&alone, &beside), &reconciled, settled.unwrap_or_default());
    wrong.extend(stage.strike_the_set().await);
    Overload { report, wrong }
}

async fn flooding(stage: &Stage) -> Vec<Customer> {
    let mut flooding = Vec::new();
    for _ in 0..FLOODING.0 {
        flooding.push(stage.world.customer_with(RATE).await);
    }
    flooding
}

fn load(stage: &Stage, customer: &Customer, ledger: &Arc<Ledger>, seed: u64) -> Load {
    let ledger = Arc::clone(ledger);
    Load { customers: vec![customer.clone()], ledger, ..stage.load(QUIET, Crowd::Calm, seed) }
}

/// The flood remembers what it was given, too.
fn note(stage: &Stage, answers: &Answers) {
    #[expect(clippy::disallowed_methods, reason = "of no use but to be there")]
    let at = jiff::Timestamp::now();
    for (n, (account_id, message_id)) in answers.accepted.iter().enumerate() {
        let key = format!("flood-{n}");
        stage.ledger.open(&key, *account_id);
        stage
            .ledger
            .close(&key, Known::Accepted { message_id: *message_id, at, wait: Duration::ZERO, keyed: false });
    }
}

async fn quiet_of(stage: &Stage, ledger: Arc<Ledger>) -> Quiet {
    let called = reconcile::called_after(stage, &ledger).await;
    Quiet { accepted: ledger.accepted(), door: ledger.waits().0, called }
}

fn wrong(
    setting: &Setting,
    answers: &Answers,
    memory: &[(String, u64)],
    (alone, beside): (&Quiet, &Quiet),
    reconciled: &Reconciled,
) -> Vec<String> {
    let mut wrong = reconciled.wrong.clone();
    let mut must = |holds: bool, what: String| {
        if !holds {
            wrong.push(what);
        }
    };
    let unknown: Vec<_> =
        answers.by_status.keys().filter(|status| ![202, 429, 503].contains(*status)).collect();
    must(unknown.is_empty(), format!("the flood was answered {unknown:?}"));
    must(answers.without_retry_after == 0, format!("{} refused without a time", answers.without_retry_after));
    let (accepted, refused) =
        (percentile(&answers.accepted_after, 99), percentile(&answers.refused_after, 99));
    must(accepted < QUICKLY, format!("accepted after {accepted:?}"));
    must(refused < QUICKLY, format!("refused after {refused:?}"));
    for (process, most) in memory {
        must(*most < MEMORY, format!("{process} used {most} KiB"));
    }
    must(
        !answers.accepted_after.is_empty() && !answers.refused_after.is_empty(),
        "it was no flood".to_owned(),
    );
    let asked = (f64::from(QUIET) * setting.time.as_secs_f64() * 0.95) as usize;
    must(beside.accepted >= asked, format!("only {} of the quiet customer's were accepted", beside.accepted));
    must(beside.door < QUICKLY, format!("the quiet customer waited {:?} at the door", beside.door));
    let slowed = beside.called[1].saturating_sub(alone.called[1]);
    must(slowed < QUICKLY, format!("the quiet customer's messages were {slowed:?} later"));
    wrong
}

fn report(
    setting: &Setting,
    answers: &Answers,
    memory: &[(String, u64)],
    (alone, beside): (&Quiet, &Quiet),
    reconciled: &Reconciled,
    settled: Duration,
) -> String {
    let mut statuses: Vec<_> = answers.by_status.iter().collect();
    statuses.sort();
    let time =
        |times: &[Duration]| format!("p50 {:.0?}, p99 {:.0?}", percentile(times, 50), percentile(times, 99));
    let quiet = |quiet: &Quiet| {
        format!(
            "{} accepted, at the door p99 {:.0?}, called p50 {:.0?}, p99 {:.0?}",
            quiet.accepted, quiet.door, quiet.called[0], quiet.called[1]
        )
    };
    let memory: Vec<String> =
        memory.iter().map(|(process, most)| format!("{process} {} MiB", most / 1024)).collect();
    format!(
        "overload: {} requests in {:?} ({:.0}/s), answered {statuses:?}\n\
         accepted after {}; refused after {}\n\
         a quiet customer alone: {}\n\
         beside the flood:       {}\n\
         most memory: {}\n\
         of all {} accepted {} lost, {} duplicates; nothing due {settled:.0?} after the flood\n",
        answers.requests(),
        setting.time,
        answers.requests() as f64 / setting.time.as_secs_f64(),
        time(&answers.accepted_after),
        time(&answers.refused_after),
        quiet(alone),
        quiet(beside),
        memory.join(", "),
        reconciled.accepted,
        reconciled.lost,
        reconciled.duplicates,
    )
}
