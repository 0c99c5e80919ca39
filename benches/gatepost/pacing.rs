//! Whether messages leave at their instance's rate, however many workers there are, measured at the provider.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::sleep;

use crate::calls::{calls, millis};
use crate::letters::Letters;
use crate::load::Pace;
use crate::report::{Goal, Report};
use crate::stage::{Plan, Servers, Stage};
use crate::support::process::Binary;

/// A rate as it is set, its interval in milliseconds and its burst.
const RATES: [(&str, f64, usize); 4] =
    [("1/6s", 6_000.0, 1), ("1/s", 1_000.0, 1), ("20/s,burst=5", 50.0, 5), ("50/s,burst=10", 20.0, 10)];
const PROCESSES: [Binary; 5] =
    [Binary::Gateway, Binary::Deliver, Binary::Deliver, Binary::Deliver, Binary::Sweep];
/// The rate is that of a minute.
const MINUTE: f64 = 60_000.0;
/// Long enough for a whole minute between the first call and the last.
const TIME: Duration = Duration::from_secs(68);

/// Measures it.
pub async fn run(servers: &Servers, report: &mut Report) {
    let plan =
        Plan { customers: RATES.map(|rate| rate.0).to_vec(), copies: 0, people: 10_000, calls_kept: 100_000 };
    let mut stage = Stage::set(servers, &plan).await;
    stage.start(&PROCESSES).await;
    for (customer, (rate, interval, burst)) in stage.customers.iter().zip(RATES) {
        let letters = Arc::new(Letters::of(std::slice::from_ref(customer), plan.people));
        let most = TIME.as_secs_f64() * 1_000.0 / interval;
        let mut load = stage.load(&letters, 4, Pace::Closed, TIME);
        load.most = most as u64 + burst as u64;
        let accepted = load.run().await;
        report
            .must(accepted.unexpected().is_none(), || format!("pacing, {rate}: {:?}", accepted.unexpected()));
    }
    sleep(TIME).await;
    let all = calls(&stage).await;
    for (customer, rate) in stage.customers.iter().zip(RATES) {
        let own = all.iter().filter(|call| call.account_id == customer.account_id);
        judge(rate, own.map(|call| call.at).collect(), report);
    }
    stage.strike(servers).await;
}

fn judge((rate, interval, burst): (&str, f64, usize), mut times: Vec<Timestamp>, report: &mut Report) {
    times.sort_unstable();
    // What a rest had saved up leaves at once; the rate is that of what follows.
    let steady = times.get(burst - 1..).unwrap_or_default();
    let Some(first) = steady.first() else {
        return report.must(false, || format!("pacing: nothing was called at {rate}"));
    };
    let within = steady.iter().take_while(|at| millis(*first, **at) <= MINUTE + interval / 2.0).count();
    let took = millis(*first, steady[within - 1]);
    let off = ((within - 1) as f64 * interval / took - 1.0).abs() * 100.0;
    report.aim("pacing", format!("{rate}: off the rate over a minute"), off, "%", Goal::AtMost(1.0));
    let beyond = beyond_burst(&times, interval, burst);
    report.aim("pacing", format!("{rate}: most beyond the burst"), beyond, "messages", Goal::AtMost(0.99));
    report.must(took > MINUTE * 0.9, || format!("pacing, {rate}: called for {took:.0} ms only"));
}

/// By how many messages a bucket that fills at this rate was overdrawn at most; less than one is how unevenly calls travel.
fn beyond_burst(times: &[Timestamp], interval: f64, burst: usize) -> f64 {
    let (mut empty_at, mut most) = (0.0_f64, 0.0_f64);
    for at in times {
        let at = millis(times[0], *at);
        empty_at = empty_at.max(at) + interval;
        most = most.max((empty_at - at) / interval - burst as f64);
    }
    most
}
