//! Suppressions with a beginning and an end: what the operator says of them, and what they do to messages on their way.

use serde_json::{Value, json};

use crate::support::process::Binary;
use crate::support::rows::{count, life};
use crate::support::services::Services;
use crate::support::world::{Customer, World};
use crate::support::{eventually, meta};

const PHONE: &str = "+966500070001";

/// Adds a suppression of [`PHONE`]; gives the text that is printed.
async fn add(world: &World, customer: &Customer, more: &[&str]) -> String {
    let add = ["suppression", "add", "--account", &customer.account, "--phone", PHONE];
    world.admin_text(&[&add[..], more].concat()).await
}

/// The suppressions of [`PHONE`], as they are listed.
async fn listed(world: &World, customer: &Customer) -> Vec<Value> {
    let list = ["suppression", "list", "--account", &customer.account, "--phone", PHONE];
    world.admin(&list).await["items"].as_array().expect("a list").clone()
}

/// Waits until its only suppression has that state.
async fn wait_for_state(world: &World, customer: &Customer, state: &str) {
    eventually(&format!("it is {state}"), async || {
        (listed(world, customer).await[0]["state"] == state).then_some(())
    })
    .await;
}

/// One that ends before the attempt stops nothing; one that begins between acceptance and attempt stops what its scope
/// says: with `non-essential` a one-time code passes, with `all` it does not.
pub async fn suppressions_count_at_the_attempt(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let (customer, database) = (world.customer().await, world.database().await);
    let other = world.customer().await;
    let ended = customer.accepted("+966500080001").await;
    let invoice = customer.accepted(PHONE).await;
    let code = customer.send(&customer.code(PHONE)).await.message_id();
    let stopped = other.send(&other.code(PHONE)).await.message_id();
    let past = ["suppression", "add", "--account", &customer.account, "--phone", "+966500080001"];
    world.admin(&[&past[..], &["--until", "1s"]].concat()).await;
    add(&world, &customer, &["--scope", "non-essential", "--from", "1s", "--until", "1h"]).await;
    add(&world, &other, &["--from", "1s"]).await;
    let states =
        "select count(*) from suppressions where starts_at <= now() and coalesce(ends_at <= now(), false)
                  = (recipient = '966500080001')";
    eventually("one has ended and two have begun", async || {
        (count(&database, states).await == 3).then_some(())
    })
    .await;

    let _others = [world.start(Binary::Deliver).await, world.start(Binary::Sweep).await];
    for (message, end) in [(&ended, "read"), (&code, "read"), (&invoice, "failed"), (&stopped, "failed")] {
        world.wait_for_status(message, &[end]).await;
    }
    for (phone, calls) in [("+966500080001", 1), (PHONE, 1)] {
        assert_eq!(world.calls_to(phone).await.len(), calls, "{phone}");
    }
    for message in [&invoice, &stopped] {
        assert_eq!(life(&database, message).await, "queued failed");
    }
    let told = "select count(*) from messages where status = 'failed' and error = 'recipient_suppressed'";
    assert_eq!(count(&database, told).await, 2);
}

/// At the door a suppression counts from its beginning to its end, and not before or after.
pub async fn suppressions_count_at_the_door(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let customer = world.customer().await;
    add(&world, &customer, &["--from", "1h", "--until", "2h"]).await;
    assert_eq!(customer.send(&customer.message(PHONE)).await.status, 202, "it has not begun");
    add(&world, &customer, &["--from", "2020-01-01T00:00:00Z", "--until", "2h"]).await;
    assert_eq!(customer.send(&customer.message(PHONE)).await.error(), "recipient_suppressed");
    add(&world, &customer, &["--until", "1s"]).await;
    wait_for_state(&world, &customer, "ended").await;
    assert_eq!(customer.send(&customer.message(PHONE)).await.status, 202, "it has ended");
}

/// A suppression that has begun by the time of the call stops it, although the worker has claimed the message before.
pub async fn suppressions_count_at_the_call(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let (customer, database) = (world.customer().await, world.database().await);
    let message = customer.accepted(PHONE).await;
    add(&world, &customer, &["--from", "1h"]).await;
    // The claim itself makes it begin, too late to heed it: only the statement that begins the call can.
    let begins = "create function begins() returns trigger language plpgsql as $$
                  begin
                      if new.lease is not null and not new.in_flight then
                          update suppressions set starts_at = now() where account_id = new.account_id;
                      end if;
                      return null;
                  end $$;
                  create trigger begins after update of lease on messages for each row execute function begins()";
    database.batch_execute(begins).await.expect("the trigger can be made");
    let _others = [world.start(Binary::Deliver).await, world.start(Binary::Sweep).await];
    world.wait_for_status(&message, &["failed"]).await;
    assert!(world.calls_to(PHONE).await.is_empty());
    assert_eq!(count(&database, "select count(*) from attempts").await, 0);
}

/// The list shows each with its period and state; one that has ended counts as new when it is added again, and the
/// operator's own takes the period that was given last.
pub async fn suppressions_are_listed_with_their_state(services: &Services) {
    let world = World::new(services).await;
    let customer = world.customer().await;
    assert_eq!(add(&world, &customer, &[]).await, format!("{PHONE} is suppressed\n"));
    assert_eq!(add(&world, &customer, &[]).await, format!("{PHONE} was suppressed already\n"));
    let [first] = &listed(&world, &customer).await[..] else { panic!("there is one") };
    let shown = json!({"phone": PHONE, "scope": "all", "source": "operator", "state": "active", "ends_at": null,
        "created_at": first["created_at"], "starts_at": first["created_at"]});
    assert_eq!(*first, shown);

    let text = add(&world, &customer, &["--until", "2035-01-01T03:00:00+03:00"]).await;
    assert_eq!(text, format!("{PHONE} is suppressed until 2035-01-01T00:00:00Z\n"));
    let changed = &listed(&world, &customer).await[0];
    assert_eq!((&changed["ends_at"], &changed["state"]), (&"2035-01-01T00:00:00Z".into(), &"active".into()));
    assert_eq!(changed["starts_at"], first["starts_at"]);
    let text = add(&world, &customer, &["--until", "2035-01-01T00:00:00Z"]).await;
    assert_eq!(text, format!("{PHONE} was suppressed already\n"));

    add(&world, &customer, &["--from", "2034-01-01T00:00:00Z", "--until", "2035-01-01T00:00:00Z"]).await;
    assert_eq!(listed(&world, &customer).await[0]["state"], "not_yet");
    let list = ["suppression", "list", "--account", &customer.account];
    let table = world.admin_text(&list).await;
    let [heads, row] = table.lines().collect::<Vec<_>>()[..] else { panic!("two lines: {table}") };
    let heads: Vec<&str> = heads.split_whitespace().collect();
    assert_eq!(heads, ["phone", "scope", "state", "from", "until", "source", "asked", "for"]);
    let row: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(row[..5], [PHONE, "all", "not_yet", "2034-01-01T00:00:00Z", "2035-01-01T00:00:00Z"]);

    add(&world, &customer, &["--until", "1s"]).await;
    wait_for_state(&world, &customer, "ended").await;
    assert_eq!(add(&world, &customer, &[]).await, format!("{PHONE} is suppressed\n"));
    let again = &listed(&world, &customer).await[0];
    assert_eq!((&again["state"], &again["ends_at"]), (&"active".into(), &Value::Null));
    assert_eq!((&again["starts_at"], &again["source"]), (&again["created_at"], &"operator".into()));

    let remove = ["suppression", "remove", "--account", &customer.account, "--phone", PHONE];
    world.admin(&remove).await;
    assert!(listed(&world, &customer).await.is_empty());
    let gone = format!("account {} has no such suppression of {PHONE}", customer.account);
    assert_eq!(world.admin_fails(1, &remove).await, gone);
}

/// A period that cannot be is refused, and the argument named.
pub async fn suppressions_need_a_period_that_can_be(services: &Services) {
    let world = World::new(services).await;
    let customer = world.customer().await;
    let add = ["suppression", "add", "--account", &customer.account, "--phone", PHONE];
    for (period, problem) in [
        (&["--until", "2020-01-01T00:00:00Z"][..], "--until must be in the future"),
        (
            &["--from", "2020-01-01T00:00:00Z", "--until", "2021-01-01T00:00:00Z"],
            "--until must be in the future",
        ),
        (&["--from", "30d", "--until", "30d"], "--until must be later than --from"),
        (&["--from", "2h", "--until", "1h"], "--until must be later than --from"),
        (&["--until", "soon"], "'--until <T>': it must be a time like"),
        (&["--from", "2027-01-31"], "'--from <T>': it must be a time like"),
    ] {
        let said = world.admin_refuses(&[&add[..], period].concat()).await;
        assert!(said.contains(problem), "{period:?}: {said}");
    }
    assert!(listed(&world, &customer).await.is_empty());
}

/// What a person asked for has no end: it clears the end of an operator's suppression, and is told where that one did
/// not count; and an operator's period does not shorten it.
pub async fn suppressions_by_the_person_have_no_end(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let (customer, database) = (world.customer().await, world.database().await);
    let say = async |id: &str, words: &str| {
        world.report(&database, &meta::text(&customer, &PHONE[1..], id, words)).await;
    };
    let told = async || count(&database, "select count(*) from events where kind like 'recipient.%'").await;
    let row = async || {
        let rows = listed(&world, &customer).await;
        assert_eq!(rows.len(), 1);
        ["source", "state", "ends_at"].map(|name| rows[0][name].clone())
    };
    let kept = [json!("operator"), json!("active"), Value::Null];
    let theirs = [json!("inbound"), json!("active"), Value::Null];

    add(&world, &customer, &["--until", "30d"]).await;
    say("wamid.1==", "STOP").await;
    assert_eq!((row().await, told().await), (kept.clone(), 0), "it counted already");
    add(&world, &customer, &["--from", "10d", "--until", "30d"]).await;
    say("wamid.2==", "STOP").await;
    assert_eq!((row().await, told().await), (kept, 1), "it did not count yet");
    say("wamid.3==", "START").await;
    assert_eq!(row().await[0], "operator", "it is not the person's to lift");

    add(&world, &customer, &["--until", "1s"]).await;
    wait_for_state(&world, &customer, "ended").await;
    say("wamid.4==", "STOP").await;
    assert_eq!((row().await, told().await), (theirs.clone(), 2), "it counted no more");
    let add_until =
        ["suppression", "add", "--account", &customer.account, "--phone", PHONE, "--until", "30d"];
    let said = world.admin_fails(1, &add_until).await;
    assert!(said.contains("suppressed already by the source inbound, whose period stays"), "{said}");
    assert_eq!(row().await, theirs);
    say("wamid.5==", "START").await;
    assert_eq!((listed(&world, &customer).await.len(), told().await), (0, 3));
}

/// A person who changes their number takes the suppression along with its period; where the new number has one of its
/// own, it counts as long as both together, and one that had ended does not count.
pub async fn suppressions_follow_a_changed_number(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let (customer, database) = (world.customer().await, world.database().await);
    let given = "insert into suppressions (account_id, recipient, scope, source, starts_at, ends_at) values
        ($1, '966500070001', 'all', 'operator', '2026-01-01Z', '2035-01-01Z'),
        ($1, '966500070001', 'non_essential', 'operator', '2020-01-01Z', '2021-01-01Z'),
        ($1, '966500070002', 'all', 'api', '2020-01-01Z', '2021-01-01Z'),
        ($1, '966500070003', 'all', 'api', '2025-01-01Z', '2033-01-01Z'),
        ($1, '966500070004', 'all', 'api', '2026-02-01Z', null)";
    database.execute(given, &[&customer.account_id]).await.expect("they can be made");
    for new in ["966500070002", "966500070003", "966500070004"] {
        let changed = json!([{"id": format!("wamid.{new}=="), "timestamp": "1769904100", "from": "966500070001",
            "type": "system", "system": {"type": "user_changed_number", "body": "changed", "wa_id": new}}]);
        world.report(&database, &meta::callback(&customer, "messages", &changed)).await;
    }
    let list = ["suppression", "list", "--account", &customer.account, "--scope", "all"];
    let rows = world.admin(&list).await["items"].clone();
    let shown: Vec<[&Value; 3]> = rows
        .as_array()
        .expect("a list")
        .iter()
        .map(|row| ["source", "starts_at", "ends_at"].map(|name| &row[name]))
        .collect();
    let (since, until) = (json!("2026-01-01T00:00:00Z"), json!("2035-01-01T00:00:00Z"));
    let (operator, api, earlier) = (json!("operator"), json!("api"), json!("2025-01-01T00:00:00Z"));
    assert_eq!(
        shown,
        [
            [&operator, &since, &until],
            [&operator, &since, &until],
            [&api, &earlier, &until],
            [&api, &since, &Value::Null]
        ]
    );
    assert_eq!(count(&database, "select count(*) from suppressions where scope = 'non_essential'").await, 1);
}
