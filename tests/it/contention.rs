//! Rows that somebody else changes in the very moment in which a statement of ours wants them: it waits, and goes on from
//! what they are then.

use tokio_postgres::Client;

use crate::support::eventually;
use crate::support::process::Binary;
use crate::support::services::{Services, free_port};
use crate::support::world::{Customer, World, answer, connect};

/// Rows changed by a transaction that is not committed yet.
struct Held {
    transaction: Client,
    watcher: Client,
}

impl Held {
    async fn new(world: &World, change: &str) -> Self {
        let [transaction, watcher] = [connect(&world.database_url).await, connect(&world.database_url).await];
        transaction.batch_execute("begin").await.expect("a transaction begins");
        let rows =
            transaction.execute(change, &[]).await.unwrap_or_else(|error| panic!("{change}: {error:?}"));
        assert!(rows > 0, "{change} changes something");
        Self { transaction, watcher }
    }

    /// A whole table, which nobody else can even read.
    async fn all_of(world: &World, table: &str) -> Self {
        let [transaction, watcher] = [connect(&world.database_url).await, connect(&world.database_url).await];
        let lock = format!("begin; lock table {table} in access exclusive mode");
        transaction.batch_execute(&lock).await.expect("the table is locked");
        Self { transaction, watcher }
    }

    /// Until a statement of the product's waits for what is held.
    async fn until_waited_for(&self) {
        let waiting = "select count(*) from pg_stat_activity
                       where datname = current_database() and wait_event_type = 'Lock' and application_name = 'gatepost'";
        eventually("somebody waits for the rows", async || {
            let row = self.watcher.query_one(waiting, &[]).await.expect("the activity can be read");
            (row.get::<_, i64>(0) > 0).then_some(())
        })
        .await;
    }

    async fn commit(self) {
        self.transaction.batch_execute("commit").await.expect("it is committed");
    }

    /// Commits, once a statement of the product's waits for the rows.
    async fn commit_when_waited_for(self) {
        self.until_waited_for().await;
        self.commit().await;
    }
}

/// What the day's and the month's counter hold.
async fn used(world: &World) -> Vec<i32> {
    let sql = "select used from quota_usage order by account_id, period, starts_on";
    let rows = world.database().await.query(sql, &[]).await.expect("the counters can be read");
    rows.iter().map(|row| row.get(0)).collect()
}

/// Sends while the counters are being changed in this way; gives status and error.
async fn send_during(world: &World, customer: &Customer, change: &str, key: Option<&str>) -> (u16, String) {
    let held = Held::new(world, change).await;
    let mut request = customer.request(&customer.message("+966500010001"));
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    let sending = tokio::spawn(answer(request));
    held.commit_when_waited_for().await;
    let answer = sending.await.expect("it does not panic");
    (answer.status, answer.error().to_owned())
}

/// Counters that somebody else opens between a commit's lock, which found none, and its look at them are not counted on
/// unlocked: it waits for who holds them, and of one last place it takes none.
pub async fn contention_over_new_counters_loses_no_place(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    // The statements are prepared before the transaction begins.
    world.customer().await.accepted("+966500010001").await;
    let customer = world.customer().await;
    world.admin(&["account", "set-limits", &customer.account, "--daily", "1", "--monthly", "1"]).await;

    let between = Held::all_of(&world, "suppressions").await;
    let sending = tokio::spawn(answer(customer.request(&customer.message("+966500010001"))));
    between.until_waited_for().await;
    let open = "insert into quota_usage (account_id, period, starts_on) values ($1, 'day', (now() at time zone 'utc')::date),
                ($1, 'month', date_trunc('month', now() at time zone 'utc')::date)";
    world.database().await.execute(open, &[&customer.account_id]).await.expect("the counters are opened");
    let full = format!("update quota_usage set used = 1 where account_id = {}", customer.account_id);
    let held = Held::new(&world, &full).await;
    between.commit().await;
    held.commit_when_waited_for().await;

    let answer = sending.await.expect("it does not panic");
    assert_eq!((answer.status, answer.error()), (429, "daily_message_limit_exceeded"), "{}", answer.text);
}

/// An acceptance adds to what the counters have become meanwhile, in the day and in the month, with and without an
/// idempotency key; where they have become full meanwhile, it is refused.
pub async fn contention_loses_no_acceptance(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let customer = world.customer().await;
    customer.accepted("+966500010001").await;
    let change = "update quota_usage set used = used + 10";
    let accepted = (202, String::new());
    assert_eq!(send_during(&world, &customer, change, None).await, accepted);
    assert_eq!(used(&world).await, [12, 12]);
    assert_eq!(send_during(&world, &customer, change, Some("k")).await, accepted);
    assert_eq!(used(&world).await, [23, 23]);
    let month_alone = "update quota_usage set used = used + 10 where period = 'month'";
    assert_eq!(send_during(&world, &customer, month_alone, Some("l")).await, accepted);
    assert_eq!(used(&world).await, [24, 34]);
    let full = "update quota_usage set used = 1000000 where period = 'month'";
    let refused = (429, "monthly_message_limit_exceeded".to_owned());
    assert_eq!(send_during(&world, &customer, full, Some("m")).await, refused);
    assert_eq!(used(&world).await, [24, 1_000_000]);
}

/// A slot is taken from what the schedule has become meanwhile, and the schedule moves on by it.
pub async fn contention_loses_no_pacing_slot(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let customer = world.customer_with("1/20s").await;
    let message = customer.accepted("+966500010001").await;
    let later = customer.accepted("+966500010002").await;
    let held = Held::new(&world, "update pacing set next_at = next_at").await;
    let _deliver = world.start(Binary::Deliver).await;
    let _sweep = world.start(Binary::Sweep).await;
    held.commit_when_waited_for().await;
    world.wait_for_status(&message, &["sent", "delivered", "read"]).await;
    eventually("the other is put off, and both schedules have moved on", async || {
        let sql = "select m.not_before > now() + interval '10 seconds',
                          (select count(*) from pacing where next_at > now() + interval '10 seconds')
                   from messages m where m.message_id = $1::text::uuid";
        let row = world.database().await.query_one(sql, &[&later]).await.expect("the rows can be read");
        ((row.get::<_, Option<bool>>(0), row.get::<_, i64>(1)) == (Some(true), 2)).then_some(())
    })
    .await;
}

/// What is given back is taken off what the counters have become meanwhile.
pub async fn contention_loses_no_returned_place(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let customer = world.customer().await;
    let closed = format!("http://127.0.0.1:{}/v23.0", free_port());
    let instance =
        ["instance", "create", "--account", &customer.account, "--id", "closed", "--name", "Closed"];
    let provider = ["--provider", "sandbox", "--base-url", &closed, "--phone-number-id", "42"];
    world.admin(&[&instance[..], &provider[..]].concat()).await;
    let mut body = customer.message("+966500010001");
    body["instance_id"] = "closed".into();
    body["validity_seconds"] = 3.into();
    let message = customer.send(&body).await.message_id();
    let held = Held::new(&world, "update quota_usage set used = used + 10").await;
    let _others = (world.start(Binary::Deliver).await, world.start(Binary::Sweep).await);
    held.commit_when_waited_for().await;
    // Failed, because no retry fits into its validity, or expired, where this machine is slow.
    world.wait_for_status(&message, &["failed", "expired"]).await;
    assert_eq!(used(&world).await, [10, 10]);
}
