//! Limits: exact across processes, counted in the account's own days and months, given back when nothing was sent.

use gatepost::runtime::clock::Clock;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::support::eventually;
use crate::support::inside::InsideGateway;
use crate::support::process::Binary;
use crate::support::services::{Services, free_port};
use crate::support::world::{Answer, Customer, World, answer, id};

/// A customer with these limits, in this time zone.
async fn limited(world: &World, (daily, monthly): (&str, &str), timezone: &str) -> Customer {
    let create = ["account", "create", "--name", "Shop", "--plan", "starter", "--timezone", timezone];
    let account = id(&world.admin(&create).await);
    world.admin(&["account", "set-limits", &account, "--daily", daily, "--monthly", monthly]).await;
    world.customer_of(account, "100000/s,burst=1000").await
}

/// The account's counters: period, first day, messages.
async fn counters(world: &World, customer: &Customer) -> Vec<(String, String, i32)> {
    let sql = "select period, starts_on::text, used from quota_usage where account_id = $1 order by 1, 2";
    let rows =
        world.database().await.query(sql, &[&customer.account_id]).await.expect("the counters can be read");
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

/// What the account's counters hold, whatever their days.
async fn used(world: &World, customer: &Customer) -> Vec<(String, i32)> {
    counters(world, customer).await.into_iter().map(|(period, _, used)| (period, used)).collect()
}

/// What [`used`] gives for one day and its month.
fn both(messages: i32) -> Vec<(String, i32)> {
    vec![("day".to_owned(), messages), ("month".to_owned(), messages)]
}

async fn count(world: &World, customer: &Customer, what: &str) -> i64 {
    let sql = format!("select count(*) from {what} and account_id = $1");
    let row = world.database().await.query_one(&sql, &[&customer.account_id]).await;
    row.expect("rows can be counted").get(0)
}

/// Two hundred requests at once to the two gateways, each to a recipient of its own.
async fn two_hundred(customer: &Customer, urls: &[String; 2]) -> Vec<Answer> {
    let mut asking = JoinSet::new();
    for (n, url) in (0..200).zip(urls.iter().cycle()) {
        let request = customer.request_at(url, &customer.message(&format!("+96650001{n:04}")));
        asking.spawn(answer(request));
    }
    asking.join_all().await
}

/// A hundred were accepted, a hundred refused with this answer, and the database says the same.
async fn a_hundred_each(world: &World, customer: &Customer, answers: &[Answer], code: &str) {
    let accepted = answers.iter().filter(|answer| answer.status == 202).count();
    let refused: Vec<&Answer> = answers.iter().filter(|answer| answer.error() == code).collect();
    let mut others: Vec<&str> = answers.iter().map(|answer| answer.text.as_str()).collect();
    others.retain(|text| !text.contains(code) && !text.contains("\"success\":true"));
    assert!(others.is_empty(), "{} others: {}", others.len(), others[0]);
    assert_eq!((accepted, refused.len()), (100, 100), "{code}");
    for answer in refused {
        assert_eq!(answer.status, 429);
        let ending = r#""details":{"action":"block","risk_score":90,"limit":100,"used":100}}"#;
        assert!(answer.text.ends_with(ending), "{}", answer.text);
    }
    assert_eq!(used(world, customer).await, both(100));
    assert_eq!(count(world, customer, "messages where true").await, 100);
    assert_eq!(
        count(world, customer, "policy_log where action = 'allow' and message_id is not null").await,
        100
    );
    let blocked = format!("policy_log where action = 'block' and error_code = '{code}'");
    assert_eq!(count(world, customer, &blocked).await, 100);
}

/// Of two hundred requests at once through two gateways, against a plan of a hundred a day, exactly a hundred are
/// accepted; the counters equal the rows.
pub async fn quota_of_a_day_is_exact_across_processes(services: &Services) {
    let world = World::new(services).await;
    let customer = limited(&world, ("7", "7"), "UTC").await;
    // The plan's own limits: 100 a day, 2,000 a month.
    world.admin(&["account", "set-limits", &customer.account, "--clear"]).await;
    let _first = world.start(Binary::Gateway).await;
    let (_second, second_url) = world.start_second_gateway().await;
    let answers = two_hundred(&customer, &[world.gateway_url(), second_url]).await;
    a_hundred_each(&world, &customer, &answers, "daily_message_limit_exceeded").await;
}

/// The same for the month, for two accounts at the same time, whose rows are locked by the same commits: neither takes
/// from the other, and no commit waits for another in a circle.
pub async fn quota_of_a_month_is_exact_across_processes(services: &Services) {
    let world = World::new(services).await;
    let one = limited(&world, ("1000", "100"), "UTC").await;
    let other = limited(&world, ("1000", "100"), "UTC").await;
    let _first = world.start(Binary::Gateway).await;
    let (_second, second_url) = world.start_second_gateway().await;
    let urls = [world.gateway_url(), second_url];
    let (to_one, to_other) = tokio::join!(two_hundred(&one, &urls), two_hundred(&other, &urls));
    a_hundred_each(&world, &one, &to_one, "monthly_message_limit_exceeded").await;
    a_hundred_each(&world, &other, &to_other, "monthly_message_limit_exceeded").await;
}

/// Sends, expects a limit error with these numbers, and gives the seconds of its `Retry-After`.
async fn refused_for(customer: &Customer, code: &str, limit: u32) -> u32 {
    let answer = customer.send(&customer.message("+966500010009")).await;
    assert_eq!((answer.status, answer.error()), (429, code), "{}", answer.text);
    let details = &answer.body["details"];
    assert_eq!((&details["limit"], &details["used"]), (&Value::from(limit), &Value::from(limit)));
    answer.header("retry-after").expect("a time is known").parse().expect("seconds")
}

/// Days and months begin at the account's own midnight, to the second, and `Retry-After` says when that is.
pub async fn quota_rolls_over_at_the_accounts_midnight(services: &Services) {
    const DAILY: &str = "daily_message_limit_exceeded";
    const MONTHLY: &str = "monthly_message_limit_exceeded";
    let world = World::new(services).await;
    let clock = Clock::manual("2026-05-31T20:59:30Z".parse().expect("a time"));
    let set = |time: &str| clock.set(time.parse().expect("a time"));
    let gateway = InsideGateway::start(&world, clock.clone()).await;
    // In Riyadh it is three hours later.
    let riyadh = limited(&world, ("2", "3"), "Asia/Riyadh").await;
    let utc = limited(&world, ("1", "9"), "UTC").await;
    let [riyadh, utc] =
        [riyadh, utc].map(|customer| Customer { gateway_url: gateway.url.clone(), ..customer });

    riyadh.accepted("+966500010001").await;
    riyadh.accepted("+966500010002").await;
    assert_eq!(refused_for(&riyadh, DAILY, 2).await, 30);
    utc.accepted("+966500010001").await;
    assert_eq!(refused_for(&utc, DAILY, 1).await, 3 * 3600 + 30);
    set("2026-05-31T20:59:59Z");
    assert_eq!(refused_for(&riyadh, DAILY, 2).await, 1);

    // Midnight in Riyadh: another day and another month. In UTC it is neither.
    set("2026-05-31T21:00:00Z");
    riyadh.accepted("+966500010003").await;
    riyadh.accepted("+966500010004").await;
    assert_eq!(refused_for(&riyadh, DAILY, 2).await, 86_400);
    assert_eq!(refused_for(&utc, DAILY, 1).await, 3 * 3600);

    // The next day the month's limit is nearer than the day's.
    set("2026-06-01T21:00:00Z");
    riyadh.accepted("+966500010005").await;
    assert_eq!(refused_for(&riyadh, MONTHLY, 3).await, 29 * 86_400);
    utc.accepted("+966500010002").await;
    set("2026-06-30T20:59:59Z");
    assert_eq!(refused_for(&riyadh, MONTHLY, 3).await, 1);
    set("2026-06-30T21:00:00Z");
    riyadh.accepted("+966500010006").await;

    let expected = [
        ("day", "2026-05-31", 2),
        ("day", "2026-06-01", 2),
        ("day", "2026-06-02", 1),
        // Opened for a message that the month refused.
        ("day", "2026-06-30", 0),
        ("day", "2026-07-01", 1),
        ("month", "2026-05-01", 2),
        ("month", "2026-06-01", 3),
        ("month", "2026-07-01", 1),
    ];
    let expected = expected.map(|(period, day, used)| (period.to_owned(), day.to_owned(), used));
    assert_eq!(counters(&world, &riyadh).await, expected);
    let used_in_utc = [("day", 1), ("day", 1), ("month", 1), ("month", 1)];
    assert_eq!(used(&world, &utc).await, used_in_utc.map(|(period, used)| (period.to_owned(), used)));
}

/// A reservation comes back to the day and the month it was taken from, though it is another day and month by then.
pub async fn quota_comes_back_to_its_own_day_and_month(services: &Services) {
    let world = World::new(services).await;
    let clock = Clock::manual("2026-05-31T20:59:30Z".parse().expect("a time"));
    let gateway = InsideGateway::start(&world, clock.clone()).await;
    let customer = limited(&world, ("5", "5"), "Asia/Riyadh").await;
    let customer = Customer { gateway_url: gateway.url.clone(), ..customer };
    let mut short = customer.message("+966500010001");
    short["validity_seconds"] = Value::from(1);
    let expiring = customer.send(&short).await.message_id();
    customer.accepted("+966500010002").await;
    clock.set("2026-05-31T21:00:00Z".parse().expect("a time"));
    customer.accepted("+966500010003").await;
    // Nobody delivers.
    let _sweep = world.start(Binary::Sweep).await;
    world.wait_for_status(&expiring, &["expired"]).await;
    let expected = [
        ("day", "2026-05-31", 1),
        ("day", "2026-06-01", 1),
        ("month", "2026-05-01", 1),
        ("month", "2026-06-01", 1),
    ];
    let expected = expected.map(|(period, day, used)| (period.to_owned(), day.to_owned(), used));
    assert_eq!(counters(&world, &customer).await, expected);
}

/// A message that ends without having reached the provider gives its place back, in the day and in the month, once: a
/// provider that cannot be connected to, a validity that ends while the instance is held, an opt-out before the attempt.
pub async fn quota_comes_back_when_nothing_was_sent(services: &Services) {
    let world = World::new(services).await;
    let _processes = world.start_all().await;
    let set_connection = async |customer: &Customer, state: &str| {
        let instance = ["--account", &customer.account, "--id", "shop-main"];
        world.admin(&[&["instance", "set-connection"], &instance[..], &[state]].concat()).await;
    };

    let unreachable = limited(&world, ("1", "1"), "UTC").await;
    let closed = format!("http://127.0.0.1:{}/v23.0", free_port());
    let instance =
        ["instance", "create", "--account", &unreachable.account, "--id", "closed", "--name", "Closed"];
    let provider = ["--provider", "sandbox", "--base-url", &closed, "--phone-number-id", "42"];
    world.admin(&[&instance[..], &provider[..]].concat()).await;
    let mut body = unreachable.message("+966500010001");
    body["instance_id"] = Value::from("closed");
    body["validity_seconds"] = Value::from(2);
    let message = unreachable.send(&body).await.message_id();
    world.wait_for_status(&message, &["failed", "expired"]).await;
    place_is_free_again(&world, &unreachable).await;

    let late = limited(&world, ("1", "1"), "UTC").await;
    set_connection(&late, "connecting").await;
    let mut body = late.message("+966500010001");
    body["validity_seconds"] = Value::from(1);
    let message = late.send(&body).await.message_id();
    world.wait_for_status(&message, &["expired"]).await;
    place_is_free_again(&world, &late).await;

    let stopped = limited(&world, ("1", "1"), "UTC").await;
    set_connection(&stopped, "connecting").await;
    let message = stopped.accepted("+966500010001").await;
    world.admin(&["suppression", "add", "--account", &stopped.account, "--phone", "+966500010001"]).await;
    set_connection(&stopped, "open").await;
    world.wait_for_status(&message, &["failed"]).await;
    assert_eq!(world.calls_to("+966500010001").await.len(), 0, "nothing was sent");
    place_is_free_again(&world, &stopped).await;
}

/// The limit of one leaves room for one more, and for no second one.
async fn place_is_free_again(world: &World, customer: &Customer) {
    assert_eq!(used(world, customer).await, both(0));
    customer.accepted("+966500010007").await;
    refused_for(customer, "daily_message_limit_exceeded", 1).await;
    assert_eq!(used(world, customer).await, both(1));
}

/// A message that the provider judged, or may have got, has used its place, however it ends: refused for good, failed
/// after its acceptance, lost without an answer.
pub async fn quota_stays_used_when_the_provider_was_reached(services: &Services) {
    let mut world = World::new(services).await;
    world.set("GATEPOST_UNKNOWN_DEADLINE_MS", 500);
    let _processes = world.start_all().await;
    for (recipient, why) in [
        ("+966500010010", "refused for good"),
        ("+966500010011", "not on WhatsApp"),
        ("+966500010004", "failed after its acceptance"),
        ("+966500010032", "lost without an answer"),
    ] {
        let customer = limited(&world, ("1", "1"), "UTC").await;
        let message = customer.accepted(recipient).await;
        let database = world.database().await;
        let sql = "select status::text from messages where message_id = $1::text::uuid and due_at is null";
        eventually(&format!("the end of the message {why}"), async || {
            let row = database.query_opt(sql, &[&message]).await.expect("the database answers")?;
            (row.get::<_, String>(0) == "failed").then_some(())
        })
        .await;
        assert_eq!(used(&world, &customer).await, both(1), "{why}");
        assert!(!world.calls_to(recipient).await.is_empty(), "{why}");
        refused_for(&customer, "daily_message_limit_exceeded", 1).await;
    }
}
