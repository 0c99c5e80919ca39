//! Pacing: one schedule for the whole fleet, never above the burst, codes before everything else.

use futures_util::future::join_all;
use gatepost::domain::rate::PAIR_INTERVAL_US;

use crate::support::process::{Binary, Process};
use crate::support::services::Services;
use crate::support::world::{Customer, World};
use crate::support::{eventually, within};

/// One of each, and two more workers.
async fn three_workers(world: &World) -> Vec<Process> {
    let mut processes = world.start_all().await;
    processes.push(world.start(Binary::Deliver).await);
    processes.push(world.start(Binary::Deliver).await);
    processes
}

async fn send_many(customer: &Customer, count: usize) -> Vec<String> {
    join_all((0..count).map(|n| {
        let phone = format!("+96650{n:03}0001");
        async move { customer.accepted(&phone).await }
    }))
    .await
}

/// When the provider was called, in seconds, in order.
async fn call_times(world: &World) -> Vec<f64> {
    let calls = world.calls("").await;
    let calls = calls["calls"].as_array().expect("a list").clone();
    let mut times: Vec<f64> = calls
        .iter()
        .map(|call| {
            let at: jiff::Timestamp = call["attempted_at"].as_str().expect("a time").parse().expect("a time");
            at.as_microsecond() as f64 / 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times
}

async fn wait_for_calls(world: &World, count: usize) -> Vec<f64> {
    let what = format!("{count} calls");
    eventually(&what, async || (world.calls("").await["total"] == count).then_some(())).await;
    call_times(world).await
}

/// How much the fastest stretch of calls is ahead of one call in `interval` seconds, in seconds. A machine that is late
/// with one call is ahead with the next, so a little is no fault of the schedule.
fn ahead_of(times: &[f64], interval: f64) -> f64 {
    let mut most: f64 = 0.0;
    for (i, from) in times.iter().enumerate() {
        for (steps, to) in times[i..].iter().enumerate() {
            most = most.max(steps as f64 * interval - (to - from));
        }
    }
    most
}

/// Forty messages at ten a second take four seconds, three workers or not.
pub async fn three_workers_keep_one_rate(services: &Services) {
    let world = World::new(services).await;
    let _processes = three_workers(&world).await;
    let customer = world.customer_with("10/s").await;
    send_many(&customer, 40).await;
    let times = wait_for_calls(&world, 40).await;
    assert!(ahead_of(&times, 0.1) < 0.5, "{times:?}");
    // Exactly 3.9 s by the schedule; a loaded machine may call late.
    assert!(times[39] - times[0] < 6.0, "{times:?}");
}

/// Below one a second the slots are further than a worker waits: the messages come back in time.
pub async fn a_slow_rate_is_kept_too(services: &Services) {
    let world = World::new(services).await;
    let _processes = three_workers(&world).await;
    let customer = world.customer_with("1/2s").await;
    send_many(&customer, 5).await;
    let times = wait_for_calls(&world, 5).await;
    assert!(ahead_of(&times, 2.0) < 0.5, "{times:?}");
    assert!(times[4] - times[0] < 10.0, "{times:?}");
}

/// After a rest the burst leaves at once, and no more.
pub async fn a_burst_leaves_at_once(services: &Services) {
    let world = World::new(services).await;
    let _processes = three_workers(&world).await;
    let customer = world.customer_with("2/s,burst=4").await;
    send_many(&customer, 6).await;
    let times = wait_for_calls(&world, 6).await;
    // Without the burst the fourth would be 1.5 s after the first.
    assert!(times[3] - times[0] < 1.2, "{times:?}");
    assert!(times[5] - times[0] >= 0.9, "{times:?}");
}

/// A one-time code passes a backlog of its own instance.
pub async fn a_code_passes_a_backlog(services: &Services) {
    let world = World::new(services).await;
    let _processes = three_workers(&world).await;
    let customer = world.customer_with("2/s").await;
    send_many(&customer, 60).await;
    let database = world.database().await;
    eventually("the backlog is paced", async || {
        let sql = "select count(*) from messages where not_before is not null";
        (database.query_one(sql, &[]).await.expect("a row").get::<_, i64>(0) >= 50).then_some(())
    })
    .await;
    let code = customer.send(&customer.code("+966500999001")).await;
    assert_eq!(code.status, 202, "{}", code.text);
    let sql = "select extract(epoch from a.started_at - m.created_at)::float8 from attempts a
               join messages m using (account_id, message_id) where m.message_id = $1::text::uuid";
    let waited = within(std::time::Duration::from_secs(10), "the code is sent", async || {
        database.query_opt(sql, &[&code.message_id()]).await.expect("a row").map(|row| row.get::<_, f64>(0))
    })
    .await;
    // At two a second, two slots within the horizon may be taken already.
    assert!(waited < 2.5, "{waited} s");
}

/// Three messages reach one person at once, the fourth after six seconds.
pub async fn one_person_is_not_flooded(services: &Services) {
    let world = World::new(services).await;
    let _processes = three_workers(&world).await;
    let customer = world.customer().await;
    join_all((0..4).map(|_| customer.accepted("+966500110001"))).await;
    let times = wait_for_calls(&world, 4).await;
    let interval = PAIR_INTERVAL_US as f64 / 1e6;
    assert!(times[2] - times[0] < 2.0, "{times:?}");
    assert!(times[3] - times[0] >= interval - 0.3, "{times:?}");
}

/// A backlog beyond the lane's limit is refused at the door, with the real time to wait.
pub async fn a_long_backlog_is_refused_at_the_door(services: &Services) {
    let world = World::new(services).await;
    let _processes = three_workers(&world).await;
    let customer = world.customer_with("1/20s").await;
    let mut accepted = 0;
    let refused = loop {
        let answer = customer.send(&customer.message(&format!("+96650{accepted:03}0001"))).await;
        match answer.status {
            202 => accepted += 1,
            _ => break answer,
        }
        assert!(accepted < 200, "the backlog is never too long");
    };
    // Five minutes at one in 20 s are 15 messages; a few more may be accepted before the first are paced.
    assert!(accepted >= 15, "{accepted}");
    assert_eq!((refused.status, refused.error()), (429, "sending_throttled"));
    let wait: f64 = refused.header("retry-after").expect("a time is known").parse().expect("seconds");
    let database = world.database().await;
    let sql = "select extract(epoch from max(next_at) - now())::float8 - 300 from pacing";
    let real = database.query_one(sql, &[]).await.expect("a row").get::<_, f64>(0);
    // More may have been paced between the answer and the question, 20 s each.
    assert!(wait >= 1.0 && wait <= real + 2.0, "{wait} s said, {real} s real");
    let code = customer.send(&customer.code("+966500999001")).await;
    assert_eq!(code.status, 202, "codes have their own schedule: {}", code.text);
}
