//! `Idempotency-Key`: a request that comes again gets its first answer again, and does nothing.

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::eventually;
use crate::support::process::{Binary, Process};
use crate::support::rows::count;
use crate::support::services::Services;
use crate::support::world::{Answer, Customer, World, answer};

/// Sends with this key.
async fn send(customer: &Customer, key: &str, body: &Value) -> Answer {
    answer(customer.request(body).header("idempotency-key", key)).await
}

fn replayed(answer: &Answer) -> bool {
    let header = answer.header("idempotent-replayed");
    assert!([None, Some("true")].contains(&header), "{header:?}");
    header.is_some()
}

/// Two gateways whose connections to the database are open: opening all of them at once can take longer than a request
/// may wait, where the build is not optimised and the machine is busy.
async fn two_gateways(world: &World) -> ([Process; 2], [String; 2]) {
    let first = world.start(Binary::Gateway).await;
    let (second, second_url) = world.start_second_gateway().await;
    let urls = [world.gateway_url(), second_url];
    let customer = world.customer().await;
    let body = customer.message("+966500010001");
    eventually("both gateways are warm", async || {
        let mut asking = JoinSet::new();
        for (n, url) in urls.iter().cycle().take(40).enumerate() {
            let request = customer.request_at(url, &body).header("idempotency-key", n.to_string());
            asking.spawn(answer(request));
        }
        asking.join_all().await.iter().all(|answer| answer.status == 202).then_some(())
    })
    .await;
    ([first, second], urls)
}

/// The messages of an account.
async fn messages(world: &World, customer: &Customer) -> i64 {
    let sql = format!("select count(*) from messages where account_id = {}", customer.account);
    count(&world.database().await, &sql).await
}

/// The same key and body get the first answer byte for byte, marked as a replay; nothing is accepted, counted or logged a
/// second time. Another body is refused, and the first answer stays.
pub async fn idempotency_replays_the_first_answer(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let customer = world.customer().await;
    let body = customer.message("+966500010001");
    let first = send(&customer, "order-2041", &body).await;
    assert_eq!((first.status, replayed(&first)), (202, false), "{}", first.text);
    for _ in 0..3 {
        let again = send(&customer, "order-2041", &body).await;
        assert_eq!((again.status, replayed(&again)), (202, true));
        assert_eq!(again.text, first.text);
        assert_eq!(again.header("content-type"), Some("application/json"));
        assert_ne!(again.header("x-request-id"), first.header("x-request-id"), "it is another request");
    }

    let mut other = body.clone();
    other["message"] = json!("Your invoice INV-2042 is ready.");
    let refused = send(&customer, "order-2041", &other).await;
    let expected = r#"{"success":false,"error":"idempotency_key_reused","message":"This Idempotency-Key was already used with a different request body.","details":[]}"#;
    assert_eq!((refused.status, refused.text.as_str(), replayed(&refused)), (422, expected, false));
    assert_eq!(send(&customer, "order-2041", &body).await.text, first.text);

    let another_key = send(&customer, "order-2042", &body).await;
    assert_eq!((another_key.status, replayed(&another_key)), (202, false));
    assert_ne!(another_key.message_id(), first.message_id());
    let database = world.database().await;
    let logged = ["policy_log where error_code is null", "messages"];
    for counted in logged.into_iter().chain(["idempotency_keys", "quota_usage where used = 2"]) {
        assert_eq!(count(&database, &format!("select count(*) from {counted}")).await, 2, "{counted}");
    }
    let refused = "select count(*) from policy_log where error_code = 'idempotency_key_reused'";
    assert_eq!(count(&database, refused).await, 1, "a decision like any other");
}

/// Fifty requests with one key at once, through two gateways, become one message and get one answer; one of the fifty is
/// the first.
pub async fn idempotency_makes_one_of_fifty_at_once(services: &Services) {
    let world = World::new(services).await;
    let (_gateways, urls) = two_gateways(&world).await;
    let customer = world.customer().await;
    let body = customer.message("+966500010001");
    for round in 0..3 {
        let mut asking = JoinSet::new();
        for url in urls.iter().cycle().take(50) {
            let key = format!("round-{round}");
            asking.spawn(answer(customer.request_at(url, &body).header("idempotency-key", key)));
        }
        let answers = asking.join_all().await;
        let texts: Vec<&str> = answers.iter().map(|answer| answer.text.as_str()).collect();
        assert!(answers.iter().all(|answer| answer.status == 202), "{texts:?}");
        assert!(texts.iter().all(|text| *text == texts[0]), "{texts:?}");
        assert_eq!(answers.iter().filter(|answer| !replayed(answer)).count(), 1, "one is the first");
        assert_eq!(messages(&world, &customer).await, round + 1);
        let used = format!(
            "select count(*) from quota_usage where used = {} and account_id = {}",
            round + 1,
            customer.account
        );
        assert_eq!(count(&world.database().await, &used).await, 2);
    }
}

/// Also where the one message takes the account's last place: the others get its answer, not that the limit is reached.
pub async fn idempotency_holds_for_the_last_place(services: &Services) {
    let world = World::new(services).await;
    let customer = world.customer().await;
    world.admin(&["account", "set-limits", &customer.account, "--daily", "1"]).await;
    let (_gateways, urls) = two_gateways(&world).await;
    let body = customer.message("+966500010001");
    let mut asking = JoinSet::new();
    for url in urls.iter().cycle().take(50) {
        asking.spawn(answer(customer.request_at(url, &body).header("idempotency-key", "last")));
    }
    let answers = asking.join_all().await;
    let texts: Vec<&str> = answers.iter().map(|answer| answer.text.as_str()).collect();
    assert!(answers.iter().all(|answer| answer.status == 202 && answer.text == texts[0]), "{texts:?}");
    assert_eq!(answers.iter().filter(|answer| !replayed(answer)).count(), 1, "one is the first");
    assert_eq!(messages(&world, &customer).await, 1);
}

/// Fifty requests with one key and two bodies at once: one body wins, the other is told so, every time.
pub async fn idempotency_lets_one_of_two_bodies_win(services: &Services) {
    let world = World::new(services).await;
    let (_gateways, urls) = two_gateways(&world).await;
    let customer = world.customer().await;
    let bodies = [customer.message("+966500010001"), customer.message("+966500010002")];
    let mut asking = JoinSet::new();
    for (url, body) in urls.iter().flat_map(|url| bodies.iter().map(move |body| (url, body))).cycle().take(50)
    {
        asking.spawn(answer(customer.request_at(url, body).header("idempotency-key", "k")));
    }
    let answers = asking.join_all().await;
    let accepted: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 202).collect();
    let refused = answers.iter().filter(|answer| answer.error() == "idempotency_key_reused").count();
    assert!([24, 25, 26].contains(&accepted.len()), "one body wins: {}", accepted.len());
    assert_eq!(accepted.len() + refused, 50);
    assert!(accepted.iter().all(|answer| answer.text == accepted[0].text));
    assert_eq!(messages(&world, &customer).await, 1);
}

/// A key is remembered for 24 hours: a little before it is replayed, a little after it is new, for any body; and what is
/// that old is swept.
pub async fn idempotency_lasts_a_day(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let customer = world.customer().await;
    let body = customer.message("+966500010001");
    let first = send(&customer, "k", &body).await;
    let database = world.database().await;
    let age = async |by: &str| {
        let sql = format!("update idempotency_keys set created_at = now() - interval '{by}'");
        assert_eq!(database.execute(&sql, &[]).await.expect("rows can be aged"), 1);
    };
    age("23 hours 59 minutes").await;
    let again = send(&customer, "k", &body).await;
    assert_eq!((again.text.as_str(), replayed(&again)), (first.text.as_str(), true));
    age("24 hours 1 second").await;
    let other = customer.message("+966500010002");
    let new = send(&customer, "k", &other).await;
    assert_eq!((new.status, replayed(&new)), (202, false), "{}", new.text);
    assert_ne!(new.message_id(), first.message_id());
    let again = send(&customer, "k", &other).await;
    assert_eq!((again.text.as_str(), replayed(&again)), (new.text.as_str(), true), "it is remembered anew");
    assert_eq!(send(&customer, "k", &body).await.error(), "idempotency_key_reused");

    age("24 hours 1 second").await;
    let _sweep = world.start(Binary::Sweep).await;
    eventually("old keys are forgotten", async || {
        (count(&database, "select count(*) from idempotency_keys").await == 0).then_some(())
    })
    .await;
}

/// Two accounts that use the same key do not meet.
pub async fn idempotency_keys_are_the_accounts_own(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let (one, other) = (world.customer().await, world.customer().await);
    let of_one = send(&one, "k", &one.message("+966500010001")).await;
    let of_other = send(&other, "k", &other.message("+966500010001")).await;
    assert_eq!((of_other.status, replayed(&of_other)), (202, false), "{}", of_other.text);
    assert_ne!(of_one.message_id(), of_other.message_id());
    let different = send(&other, "k", &other.message("+966500010002")).await;
    assert_eq!(different.error(), "idempotency_key_reused", "the other's own first body counts");
    let again = send(&one, "k", &one.message("+966500010001")).await;
    assert_eq!((again.text.as_str(), replayed(&again)), (of_one.text.as_str(), true));
    // Keys of one account are one account's: a second API key of it replays as well.
    let second = world.admin(&["api-key", "create", "--account", &one.account]).await;
    let second = Customer { key: second["secret"].as_str().expect("a text").to_owned(), ..one.clone() };
    let again = send(&second, "k", &one.message("+966500010001")).await;
    assert_eq!((again.text.as_str(), replayed(&again)), (of_one.text.as_str(), true));
}

/// A key of 1 to 255 visible characters, once, is good; anything else is a `validation_error` that names the header, and
/// nothing is sent.
pub async fn idempotency_keys_that_are_not_good_are_named(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let customer = world.customer().await;
    let body = customer.message("+966500010001");
    let with = |values: &[&[u8]]| {
        let values =
            values.iter().map(|value| reqwest::header::HeaderValue::from_bytes(value).expect("a value"));
        values.fold(customer.request(&body), |request, value| request.header("idempotency-key", value))
    };
    let long = "k".repeat(256);
    let bad: [(&str, &[&[u8]]); 7] = [
        ("empty", &[b""]),
        ("blank", &[b"  "]),
        ("256 characters", &[long.as_bytes()]),
        ("twice", &[b"a", b"b"]),
        ("twice the same", &[b"a", b"a"]),
        ("Arabic", &["طلب".as_bytes()]),
        ("no UTF-8", &[b"\xff\xfe"]),
    ];
    for (what, values) in bad {
        let refused = answer(with(values)).await;
        let expected = r#"{"success":false,"error":"validation_error","message":"The request payload is missing required fields.","details":{"fields":["Idempotency-Key"]}}"#;
        assert_eq!((refused.status, refused.text.as_str()), (422, expected), "{what}");
    }
    assert_eq!(count(&world.database().await, "select count(*) from messages").await, 0);
    for good in [&long[1..], "a", "8e03978e-40d5-43e8-bc93-6894a57f9324", "\"quoted\"", "a b:c;d=e/f?{}'--"] {
        assert_eq!(answer(with(&[good.as_bytes()])).await.status, 202, "{good}");
        assert!(replayed(&answer(with(&[good.as_bytes()])).await), "{good}");
    }
}

/// A refusal is not remembered: when its cause is gone, the same request with the same key is accepted, and so is another
/// body under it.
pub async fn idempotency_does_not_remember_refusals(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let customer = world.customer().await;
    let account = customer.account.as_str();
    world.admin(&["account", "set-limits", account, "--daily", "0"]).await;
    let body = customer.message("+966500010001");
    for key in ["same body", "other body"] {
        let refused = eventually("the limit is heeded", async || {
            let answer = send(&customer, key, &body).await;
            (answer.error() == "daily_message_limit_exceeded").then_some(answer)
        })
        .await;
        assert!(!replayed(&refused));
    }
    let mut marketing = body.clone();
    marketing["message_purpose"] = json!("marketing");
    assert_eq!(send(&customer, "marketing", &marketing).await.error(), "message_purpose_not_allowed");
    assert_eq!(count(&world.database().await, "select count(*) from idempotency_keys").await, 0);

    world.admin(&["account", "set-limits", account, "--daily", "9"]).await;
    let accepted = eventually("the new limit is heeded", async || {
        let answer = send(&customer, "same body", &body).await;
        (answer.status == 202).then_some(answer)
    })
    .await;
    assert!(!replayed(&accepted));
    let other = send(&customer, "other body", &customer.message("+966500010002")).await;
    assert_eq!((other.status, replayed(&other)), (202, false), "{}", other.text);
    assert_eq!(send(&customer, "marketing", &body).await.status, 202);
}
