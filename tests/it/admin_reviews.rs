//! Reviews: who paused and resumed an instance, when and why, and what becomes of its messages meanwhile.

use gatepost::config::Hidden;
use gatepost::store::{Pool, instances};
use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::process::Binary;
use crate::support::receiver::Receiver;
use crate::support::rows::{count, wait_for_count};
use crate::support::services::Services;
use crate::support::world::{Customer, World};

/// The arguments of a command on the customer's instance.
fn command<'a>(what: &'a str, customer: &'a Customer, more: &[&'a str]) -> Vec<&'a str> {
    [&["instance", what, "--account", &customer.account, "--id", "shop-main"], more].concat()
}

/// What was done, by whom and why, and because of which decision, the latest first.
async fn reviews(world: &World, customer: &Customer) -> Vec<[Value; 4]> {
    let listed = world.admin(&command("reviews", customer, &[])).await;
    let rows = listed["items"].as_array().expect("a list");
    rows.iter().map(|row| ["action", "by", "note", "log_id"].map(|name| row[name].clone())).collect()
}

fn review(action: &str, by: &str, note: impl Into<Value>) -> [Value; 4] {
    [action.into(), by.into(), note.into(), Value::Null]
}

/// What was told of pauses.
fn pauses(receiver: &Receiver) -> Vec<Value> {
    let received = receiver.received().into_iter();
    received.filter(|one| one.body["event"] == "instance.paused").map(|one| one.body).collect()
}

/// A paused instance holds what is queued, and the customer is told why; a resume with a note releases it at once.
pub async fn reviews_hold_messages_until_the_resume(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let (customer, database) = (world.customer().await, world.database().await);
    let receiver = world.receiver(&customer).await;
    let message = customer.accepted("+966500070001").await;
    world.admin(&command("pause", &customer, &["--reason", "many complaints", "--by", "Dana"])).await;
    let _others = [
        world.start(Binary::Deliver).await,
        world.start(Binary::Sweep).await,
        world.start(Binary::Notify).await,
    ];
    let told = eventually("the pause is told", async || pauses(&receiver).pop()).await;
    assert_eq!((&told["reason"], &told["instance_id"]), (&"many complaints".into(), &"shop-main".into()));
    let held = "select count(*) from messages where status = 'queued' and lease is null
                and due_at > created_at + interval '11 seconds'";
    wait_for_count(&database, held, 1).await;
    let later = "update messages set due_at = now() + interval '1 hour'";
    database.execute(later, &[]).await.expect("it can be put off");

    world.admin(&command("pause", &customer, &["--reason", "still more", "--by", "Omar"])).await;
    assert_eq!(world.calls_to("+966500070001").await.len(), 0);
    world.admin(&command("resume", &customer, &["--note", "a mistaken import", "--by", "Dana"])).await;
    world.wait_for_status(&message, &["read"]).await;
    let expected = [
        review("resumed", "Dana", "a mistaken import"),
        review("paused", "Omar", "still more"),
        review("paused", "Dana", "many complaints"),
    ];
    assert_eq!(reviews(&world, &customer).await, expected);
    assert_eq!(count(&database, "select count(*) from events where kind = 'instance.paused'").await, 1);
    let instance = world.admin(&["instance", "list", "--account", &customer.account]).await;
    assert_eq!(
        [&instance["items"][0]["paused_at"], &instance["items"][0]["paused_reason"]],
        [&Value::Null; 2]
    );
}

/// Whoever gives no name is called by the variable USER, or else operator; the guard's name is nobody's to give.
pub async fn reviews_say_who_when_and_why(services: &Services) {
    let mut world = World::new(services).await;
    let customer = world.customer().await;
    let database = world.database().await;
    assert_eq!(world.admin_text(&command("reviews", &customer, &[])).await, "none\n");
    world.admin(&command("pause", &customer, &[])).await;
    world.set("USER", "omar");
    world.admin(&command("pause", &customer, &["--reason", "سبب"])).await;
    world.set("USER", "guard");
    world.admin(&command("resume", &customer, &["--note", "nothing found"])).await;
    let expected = [
        review("resumed", "operator", "nothing found"),
        review("paused", "omar", "سبب"),
        review("paused", "operator", Value::Null),
    ];
    assert_eq!(reviews(&world, &customer).await, expected);
    let table = world.admin_text(&command("reviews", &customer, &[])).await;
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("at") && lines[0].ends_with("action   by        log id  note"), "{table}");
    // How wide a time is depends on its last digits.
    let words: Vec<&str> = lines[1].split_whitespace().skip(1).collect();
    assert_eq!(words, ["resumed", "operator", "-", "nothing", "found"], "{table}");
    let recent = "select count(*) from reviews where at between now() - interval '5 minutes' and now()";
    assert_eq!(count(&database, recent).await, 3);

    let said = world.admin_fails(1, &command("resume", &customer, &["--note", "again"])).await;
    assert_eq!(said, "instance `shop-main` is not paused");
    for (line, named) in [
        (command("resume", &customer, &[]), "--note"),
        (command("resume", &customer, &["--note", ""]), "'--note <NOTE>': it must have 1 to 500 characters"),
        (
            command("resume", &customer, &["--note", "  "]),
            "'--note <NOTE>': it must have 1 to 500 characters",
        ),
        (command("resume", &customer, &["--note", "x", "--by", "guard"]), "'--by <NAME>'"),
        (command("pause", &customer, &["--by", ""]), "'--by <NAME>': it must have 1 to 100 characters"),
    ] {
        let said = world.admin_refuses(&line).await;
        assert!(said.contains(named), "{line:?}: {said}");
    }
    let nobodys = ["instance", "reviews", "--account", &customer.account, "--id", "x"];
    let said = world.admin_fails(1, &nobodys).await;
    assert_eq!(said, format!("account {} has no instance `x`", customer.account));
    assert_eq!(count(&database, "select count(*) from reviews").await, 3, "a refused command is no review");
}

/// Of many reviews the latest hundred are shown.
pub async fn reviews_shown_are_the_latest_hundred(services: &Services) {
    let world = World::new(services).await;
    let customer = world.customer().await;
    let many = "insert into reviews (account_id, review_id, instance_id, action, by_whom, note, at)
                select $1, gen_random_uuid(), i, 'paused', 'dana', n::text, now() - n * interval '1 minute'
                from generate_series(1, 120) n, unnest(array['shop-main', 'another']) i";
    let database = world.database().await;
    database.execute(many, &[&customer.account_id]).await.expect("they can be made");
    let expected: Vec<[Value; 4]> = (1..=100).map(|n| review("paused", "dana", n.to_string())).collect();
    assert_eq!(reviews(&world, &customer).await, expected);
}

/// The guard pauses in its own name, for a decision, and tells the customer; what is paused already it leaves alone.
pub async fn reviews_by_the_guard_name_its_decision(services: &Services) {
    let world = World::new(services).await;
    let (customer, database) = (world.customer().await, world.database().await);
    let _receiver = world.receiver(&customer).await;
    let pool = Pool::new(&Hidden(world.database_url.clone()), 1).expect("an address");
    let pause = async |instance: &str, reason: &str, log_id: i64| {
        let mut session = pool.get().await.expect("a connection");
        let transaction = session.begin().await.expect("a transaction");
        let id = customer.account_id;
        let paused = instances::pause_by_guard(&transaction, id, instance, reason, log_id).await;
        transaction.commit().await.expect("a commit");
        paused.expect("the database answers")
    };
    assert!(pause("shop-main", "same_text", 41).await);
    let together = "select count(*) from instances i join reviews r on r.xmin = i.xmin
        join events e on e.xmin = i.xmin and e.kind = 'instance.paused' and e.reason = 'same_text'
        join webhook_deliveries d on d.event_id = e.event_id and d.xmin = e.xmin and d.due_at <= now()
        where i.paused_at = r.at and i.paused_reason = 'same_text'";
    assert_eq!(count(&database, together).await, 1, "in one commit");
    assert!(!pause("shop-main", "codes", 42).await, "it is paused already");
    assert!(!pause("x", "codes", 43).await, "there is no such instance");
    let by_guard = [json!("paused"), json!("guard"), json!("same_text"), json!(41)];
    assert_eq!(reviews(&world, &customer).await, [by_guard]);
    assert_eq!(count(&database, "select count(*) from events").await, 1);
    let kept = "select count(*) from instances where paused_reason = 'same_text'";
    assert_eq!(count(&database, kept).await, 1);
    let table = world.admin_text(&command("reviews", &customer, &[])).await;
    assert!(
        table.lines().last().is_some_and(|row| row.ends_with("paused  guard  41      same_text")),
        "{table}"
    );
}
