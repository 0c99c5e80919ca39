//! What the guard makes of behaviour over time: counted across processes, in windows that slide.

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::process::{Binary, Process};
use crate::support::rows::count;
use crate::support::services::{Services, free_port};
use crate::support::world::{Answer, Customer, World, answer};
use crate::support::{PATIENCE, eventually};

/// Three gateways; the first is the customer's own.
async fn three_gateways(world: &World) -> (Vec<Process>, [String; 3]) {
    let first = world.start(Binary::Gateway).await;
    let (second, second_url) = world.start_second_gateway().await;
    let (third, third_url) = world.start_second_gateway().await;
    (vec![first, second, third], [world.gateway_url(), second_url, third_url])
}

/// The bodies at once, in turn to the three gateways.
async fn at_once(
    customer: &Customer,
    urls: &[String; 3],
    bodies: impl IntoIterator<Item = Value>,
) -> Vec<Answer> {
    let mut asking = JoinSet::new();
    for (body, url) in bodies.into_iter().zip(urls.iter().cycle()) {
        asking.spawn(answer(customer.request_at(url, &body)));
    }
    asking.join_all().await
}

/// How many were answered with each verdict.
fn verdicts(answers: &[Answer]) -> Vec<(String, usize)> {
    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    for answer in answers {
        let verdict = if answer.status == 202 { "accepted" } else { answer.error() };
        *counts.entry(verdict.to_owned()).or_default() += 1;
    }
    counts.into_iter().collect()
}

fn expected<const N: usize>(verdicts: [(&str, usize); N]) -> Vec<(String, usize)> {
    verdicts.into_iter().map(|(verdict, count)| (verdict.to_owned(), count)).collect()
}

fn phone(n: usize) -> String {
    format!("+96650002{n:04}")
}

/// One text, whatever the phone.
fn notice(customer: &Customer, purpose: &str, n: usize) -> Value {
    json!({
        "instance_id": customer.instance, "phone": phone(n),
        "message": "The office is closed on Thursday.", "message_purpose": purpose,
    })
}

fn retry_after(answer: &Answer) -> u32 {
    let seconds = answer.header("retry-after").unwrap_or_else(|| panic!("Retry-After: {}", answer.text));
    seconds.parse().expect("seconds")
}

/// The rules' file of a world, written anew.
fn rules(world: &World, rules: &str) -> String {
    let path = world.folder.join("rules.toml");
    let new = world.folder.join("rules.toml.new");
    std::fs::write(&new, rules).expect("the folder can be written to");
    std::fs::rename(&new, &path).expect("and in it renamed");
    path.to_str().expect("a plain path").to_owned()
}

/// A counter's rule of its own.
fn counter_rule(version: &str, counter: &str, at_least: u32, window: &str, weight: u8) -> String {
    format!(
        "version = \"{version}\"\n[[rule]]\nid = \"{counter}\"\nweight = {weight}\npurposes = [\"all\"]\n\
         counter = \"{counter}\"\nat_least = {at_least}\nwindow = \"{window}\"\n"
    )
}

/// A hundred people are sent the same words at once through three gateways: nineteen are accepted, the next twenty
/// throttled, then it is a violation, and the tenth violation pauses the instance for everybody after it. Exactly so,
/// however the requests meet. The customer is told, and the reviewer is told why.
pub async fn guard_stops_a_broadcast_exactly_across_three_gateways(services: &Services) {
    let world = World::new(services).await;
    let (_gateways, urls) = three_gateways(&world).await;
    let customer = world.customer().await;
    let receiver = world.receiver(&customer).await;
    let answers = at_once(&customer, &urls, (0..100).map(|n| notice(&customer, "transactional", n))).await;
    let exactly = expected([
        ("accepted", 19),
        ("instance_paused_for_review", 52),
        ("policy_violation", 9),
        ("sending_throttled", 20),
    ]);
    assert_eq!(verdicts(&answers), exactly);
    for throttled in answers.iter().filter(|answer| answer.error() == "sending_throttled") {
        assert!((3_500..=3_600).contains(&retry_after(throttled)), "until the first is an hour ago");
    }
    let database = world.database().await;
    assert_eq!(count(&database, "select used::int8 from quota_usage where period = 'day'").await, 19);
    assert_eq!(count(&database, "select count(*) from messages").await, 19);
    assert_eq!(count(&database, "select count(*) from policy_log").await, 100);

    let _others = [world.start(Binary::Sweep).await, world.start(Binary::Notify).await];
    let paused = eventually("the customer is told", async || receiver.events("instance.paused").pop()).await;
    assert_eq!(
        (paused["instance_id"].as_str(), paused["reason"].as_str()),
        (Some("shop-main"), Some("blocked_repeatedly"))
    );
    let sql = "select by_whom || ' ' || r.action || ' ' || note || ' ' || p.error_code || ' ' || p.risk_score
               from reviews r join policy_log p using (account_id, log_id)";
    let review: String = database.query_one(sql, &[]).await.expect("one review").get(0);
    assert_eq!(review, "guard paused blocked_repeatedly instance_paused_for_review 100");

    let resume =
        ["instance", "resume", "--account", &customer.account, "--id", "shop-main", "--note", "talked to"];
    world.admin(&resume).await;
    let mut other = notice(&customer, "transactional", 0);
    other["message"] =
        "MEGA SALE! Up to 70% off everything this weekend only. Shop now: https://bit.ly/x1".into();
    let blocked = customer.send(&other).await;
    assert_eq!(blocked.error(), "policy_violation", "what was reviewed is not held against it again");
}

/// Texts that differ by a number only are different texts: a hundred people get their invoices.
pub async fn guard_lets_orders_pass_that_differ_by_their_number(services: &Services) {
    let world = World::new(services).await;
    let (_gateways, urls) = three_gateways(&world).await;
    let customer = world.customer().await;
    let answers = at_once(&customer, &urls, (0..100).map(|n| customer.message(&phone(n)))).await;
    assert_eq!(verdicts(&answers), expected([("accepted", 100)]));
    let disguised = ["THE OFFICE IS CLOSED, ON THURSDAY!", "the  office is clo\u{200b}sed on thursday 🙂"];
    for n in 0..19 {
        let mut body = notice(&customer, "support", n);
        body["message"] = disguised[n % 2].into();
        assert_eq!(customer.send(&body).await.status, 202);
    }
    for n in 0..30 {
        let mut body = notice(&customer, "operational", n);
        body["message"] = ["👍", "✅", "🙏", "!!!"][n % 4].into();
        assert_eq!(customer.send(&body).await.status, 202, "signs without words are told apart");
    }
    let other_writing = customer.send(&notice(&customer, "support", 19)).await;
    assert_eq!(other_writing.error(), "sending_throttled", "spelled otherwise it is the same text");
}

/// What is said to the team is said to all of it. Who is not known to be of the team counts, but later than elsewhere.
pub async fn guard_lets_a_notice_reach_the_team(services: &Services) {
    let world = World::new(services).await;
    let (_gateways, urls) = three_gateways(&world).await;
    let customer = world.customer().await;
    let staff = at_once(&customer, &urls, (0..70).map(|n| notice(&customer, "internal_team", n))).await;
    let exactly = expected([("accepted", 59), ("sending_throttled", 11)]);
    assert_eq!(verdicts(&staff), exactly);
    let insert = "insert into internal_numbers (account_id, recipient)
                  select $1, '96650002' || lpad(n::text, 4, '0') from generate_series(0, 199) n";
    world.database().await.execute(insert, &[&customer.account_id]).await.expect("the team is known");
    let known = at_once(&customer, &urls, (0..200).map(|n| notice(&customer, "internal_team", n))).await;
    assert_eq!(verdicts(&known), expected([("accepted", 200)]));
    let others = customer.send(&notice(&customer, "internal_team", 300)).await;
    assert_eq!(others.error(), "sending_throttled", "a declared purpose does not make a stranger staff");
}

/// Windows slide: when the oldest has left, as `Retry-After` says, there is room again.
pub async fn guard_windows_slide(services: &Services) {
    let mut world = World::new(services).await;
    let file = rules(&world, &counter_rule("slide", "same_text", 3, "3s", 65));
    world.set("GATEPOST_RULES_FILE", file);
    let _gateway = world.start(Binary::Gateway).await;
    let customer = world.customer().await;
    for n in 0..2 {
        assert_eq!(customer.send(&notice(&customer, "operational", n)).await.status, 202);
    }
    let third = customer.send(&notice(&customer, "operational", 2)).await;
    assert_eq!((third.status, third.error()), (429, "sending_throttled"));
    assert!((1..=3).contains(&retry_after(&third)), "{:?}", third.header("retry-after"));
    assert_eq!(
        customer.send(&notice(&customer, "operational", 1)).await.status,
        429,
        "others were tried meanwhile"
    );
    eventually("there is room again", async || {
        (customer.send(&notice(&customer, "operational", 2)).await.status == 202).then_some(())
    })
    .await;
}

/// A burst to people who were never written to is slowed down; those who were are written to all the same.
pub async fn guard_slows_bursts_to_strangers(services: &Services) {
    let mut world = World::new(services).await;
    let file = rules(&world, &counter_rule("strangers", "new_recipients", 5, "10m", 65));
    world.set("GATEPOST_RULES_FILE", file);
    let (_gateways, urls) = three_gateways(&world).await;
    let customer = world.customer().await;
    let answers = at_once(&customer, &urls, (0..30).map(|n| customer.message(&phone(n)))).await;
    assert_eq!(verdicts(&answers), expected([("accepted", 4), ("sending_throttled", 26)]));
    let written_to = answers.iter().position(|answer| answer.status == 202).expect("four of them");
    assert!(
        answers
            .iter()
            .filter(|answer| answer.status == 429)
            .all(|answer| (1..=600).contains(&retry_after(answer)))
    );
    let phones = "select recipient from messages limit 1";
    let known: String = world.database().await.query_one(phones, &[]).await.expect("one of the four").get(0);
    assert!(written_to < 30);
    assert_eq!(customer.send(&customer.message(&format!("+{known}"))).await.status, 202);
    // Half a year of silence is not the question here: who was written to in another month is no stranger.
    let age = "update sightings set seen_at = seen_at - interval '11 minutes', expires_at = expires_at - interval '11 minutes'";
    world.database().await.execute(age, &[]).await.expect("time can be moved");
    let later = at_once(&customer, &urls, (100..110).map(|n| customer.message(&phone(n)))).await;
    assert_eq!(verdicts(&later), expected([("accepted", 4), ("sending_throttled", 6)]));
}

/// One person is sent five codes in ten minutes and fifteen a day, and no more, through whatever gateway.
pub async fn guard_limits_codes_per_recipient(services: &Services) {
    let world = World::new(services).await;
    let (_gateways, urls) = three_gateways(&world).await;
    let customer = world.customer().await;
    let code = |n: usize| {
        let mut body = customer.code(&phone(1));
        body["message"] = format!("Your code is {}.", 482_000 + n).into();
        body
    };
    let hour_ago = "update sightings set seen_at = seen_at - interval '1 hour' where counter = 'codes'";
    for round in 0..3 {
        let answers = at_once(&customer, &urls, (0..12).map(|n| code(100 * round + n))).await;
        assert_eq!(verdicts(&answers), expected([("accepted", 5), ("sending_throttled", 7)]));
        let refused = answers.iter().find(|answer| answer.status == 429).expect("seven of them");
        assert!(
            (500..=600).contains(&retry_after(refused)) || round == 2,
            "{:?}",
            refused.header("retry-after")
        );
        world.database().await.execute(hour_ago, &[]).await.expect("time can be moved");
    }
    let sixteenth = customer.send(&code(900)).await;
    assert_eq!(sixteenth.error(), "sending_throttled");
    assert!((20 * 3_600..=22 * 3_600).contains(&retry_after(&sixteenth)), "until the first is a day ago");
    assert_eq!(customer.send(&customer.code(&phone(2))).await.status, 202, "somebody else gets theirs");
    assert_eq!(customer.send(&customer.message(&phone(1))).await.status, 202, "an invoice is no code");
}

/// The limits of codes can be set; a message without a code, or a long one, is none.
pub async fn guard_knows_a_code_when_it_sees_one(services: &Services) {
    let mut world = World::new(services).await;
    world.set("GATEPOST_CODES_PER_TEN_MINUTES", 2);
    world.set("GATEPOST_CODES_PER_DAY", 3);
    let _gateway = world.start(Binary::Gateway).await;
    let customer = world.customer().await;
    let mut answers = Vec::new();
    for n in 0..3 {
        let mut body = customer.code(&phone(1));
        body["message"] = format!("رمز التحقق: {}", 482_000 + n).into();
        answers.push(customer.send(&body).await.status);
    }
    assert_eq!(answers, [202, 202, 429]);
    let long = format!("Your code is 482913. {}", "Keep it to yourself. ".repeat(20));
    for text in ["Your parcel is on its way to you.", long.as_str()] {
        let mut body = customer.code(&phone(3));
        body["message"] = text.into();
        let refused = customer.send(&body).await;
        assert_eq!((refused.status, refused.error()), (429, "sending_throttled"), "{text}");
        assert!(retry_after(&refused) > 0);
    }
}

/// What an instance cannot send within five minutes (a code: within thirty seconds) is refused at the door, before any
/// worker has looked at what waits, and `Retry-After` is the time until there is room.
pub async fn guard_knows_the_backlog_at_the_door(services: &Services) {
    let world = World::new(services).await;
    let (_gateways, urls) = three_gateways(&world).await;
    let customer = world.customer_with("1/10s").await;
    let answers = at_once(&customer, &urls, (0..60).map(|n| customer.message(&phone(n)))).await;
    // One leaves at once, thirty more within 300 seconds.
    assert_eq!(verdicts(&answers), expected([("accepted", 31), ("sending_throttled", 29)]));
    let refused: Vec<u32> = answers.iter().filter(|answer| answer.status == 429).map(retry_after).collect();
    assert!(refused.iter().all(|seconds| (1..=10).contains(seconds)), "{refused:?}");
    let codes = at_once(&customer, &urls, (100..110).map(|n| customer.code(&phone(n)))).await;
    assert_eq!(verdicts(&codes), expected([("accepted", 4), ("sending_throttled", 6)]));
    let another_rate = ["instance", "set-rate", "--account", &customer.account, "--id", "shop-main", "50/s"];
    world.admin(&another_rate).await;
    assert_eq!(customer.send(&customer.message(&phone(200))).await.status, 202, "a new rate begins anew");
}

/// What is counted stays small: no subject has more members than the largest threshold, however many are tried, and what
/// no window reaches any more is swept.
pub async fn guard_counters_are_bounded(services: &Services) {
    let mut world = World::new(services).await;
    let file = rules(&world, &counter_rule("bounded", "same_text", 8, "1h", 65));
    world.set("GATEPOST_RULES_FILE", file);
    let (_gateways, urls) = three_gateways(&world).await;
    let customer = world.customer().await;
    at_once(&customer, &urls, (0..60).map(|n| notice(&customer, "support", n))).await;
    let database = world.database().await;
    assert_eq!(count(&database, "select count(*) from sightings").await, 8);
    database.execute("update sightings set expires_at = now()", &[]).await.expect("time can be moved");
    let _sweep = world.start(Binary::Sweep).await;
    eventually("they are swept", async || {
        (count(&database, "select count(*) from sightings").await == 0).then_some(())
    })
    .await;
}

/// New rules are heeded by every running gateway within a second; a file that is not valid changes nothing, and a gateway
/// that finds one at its start says what is wrong and where.
pub async fn guard_heeds_new_rules_within_a_second(services: &Services) {
    let mut world = World::new(services).await;
    let file = rules(&world, &counter_rule("first", "same_text", 1_000, "1h", 65));
    world.set("GATEPOST_RULES_FILE", &file);
    let (gateways, urls) = three_gateways(&world).await;
    let customer = world.customer().await;
    assert_eq!(
        verdicts(&at_once(&customer, &urls, (0..9).map(|n| notice(&customer, "support", n))).await),
        expected([("accepted", 9)])
    );
    rules(&world, "version = \"broken\"\n[[rule]]\nid = \"nothing\"\nweight = 500\n");
    for gateway in &gateways {
        eventually("the fault is logged", async || {
            gateway.log().contains("the rules stay as they were").then_some(())
        })
        .await;
    }
    assert_eq!(customer.send(&notice(&customer, "support", 0)).await.status, 202);
    rules(&world, &counter_rule("second", "same_text", 2, "1h", 90));
    let changed = std::time::Instant::now();
    for url in &urls {
        eventually("the new rules are heeded", async || {
            let answer = answer(customer.request_at(url, &notice(&customer, "support", 1))).await;
            (answer.error() == "policy_violation").then_some(())
        })
        .await;
    }
    assert!(changed.elapsed().as_millis() < 1_500, "{:?}", changed.elapsed());
    let sql =
        "select rules_version from policy_log where error_code is not null order by log_id desc limit 1";
    let version: String = world.database().await.query_one(sql, &[]).await.expect("a row").get(0);
    assert_eq!(version, "second");

    rules(
        &world,
        "version = \"broken\"\n[[rule]]\nid = \"loud\"\nweight = 500\npurposes = [\"all\"]\ncounter = \"same_text\"\nat_least = 2\nwindow = \"1h\"\n",
    );
    let mut refused = world.launch_at(Binary::Gateway, free_port());
    assert_eq!(refused.wait(PATIENCE).await, Some(1));
    let told = refused.log();
    assert!(
        told.contains("GATEPOST_RULES_FILE") && told.contains("line 4") && told.contains("loud"),
        "{told}"
    );
}
