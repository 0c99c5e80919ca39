//! People whom Evolution names by an id of WhatsApp's: what they want is kept until their number is known.

use serde_json::{Value, json};

use crate::support::desk::{Desk, LID, OURS, PERSON, WRITTEN, sample};
use crate::support::eventually;
use crate::support::process::Binary;
use crate::support::rows::count;
use crate::support::services::Services;
use crate::support::world::World;

/// Somebody writes, from that LID or number, some seconds after the samples' time.
fn words(id: &str, from: &str, text: &str, after: i64) -> Value {
    json!({"event": "messages.upsert", "data": {"key": {"remoteJid": from, "fromMe": false, "id": id},
        "message": {"conversation": text}, "messageTimestamp": WRITTEN + after}})
}

/// What the operator is shown of an account's wishes that wait.
async fn unresolved(world: &World, account: &str) -> Vec<Value> {
    let list = world.admin(&["suppression", "unresolved", "--account", account]).await;
    list["items"].as_array().expect("a list").clone()
}

/// A STOP without a number is shown to the operator; the callback that tells the number carries it out, with the time at
/// which it was written, and tells the customer.
pub async fn a_wish_without_a_number_waits_for_it(services: &Services) {
    let world = World::new(services).await;
    let _processes = [world.start(Binary::Gateway).await, world.start(Binary::Notify).await];
    let database = world.database().await;
    let customer = world.customer().await;
    let receiver = world.receiver(&customer).await;
    let desk = Desk::of(&database, customer.account_id, "shop-main").await;
    assert_eq!(unresolved(&world, &customer.account).await, [] as [Value; 0]);
    desk.report(&world, &database, &sample("stop_lid_only")).await;
    let expected = json!({"instance": "shop-main", "sender": LID, "wish": "opt_out",
        "first_at": "2026-02-01T00:01:40Z", "last_at": "2026-02-01T00:01:40Z"});
    assert_eq!(unresolved(&world, &customer.account).await, [expected]);
    let text = world.admin_text(&["suppression", "unresolved", "--account", &customer.account]).await;
    assert!(text.starts_with("instance") && text.contains(LID), "{text}");
    let phone = format!("+{PERSON}");
    assert_eq!(customer.send(&customer.message(&phone)).await.status, 202, "nobody knows whose wish it is");

    let mut question = sample("stop_number_then_lid");
    question["data"]["message"]["conversation"] = "Is it open?".into();
    desk.report(&world, &database, &question).await;
    assert_eq!(customer.send(&customer.message(&phone)).await.error(), "recipient_suppressed");
    assert_eq!(unresolved(&world, &customer.account).await, [] as [Value; 0]);
    let written = "select extract(epoch from created_at)::int8 from suppressions";
    assert_eq!(count(&database, written).await, WRITTEN);
    let told = eventually("the opt-out is told", async || receiver.events("recipient.opted_out").pop()).await;
    assert_eq!(told["from"], phone.as_str());
    assert_eq!((&told["reason"], &told["message_text"]), (&"recipient_requested_stop".into(), &Value::Null));
}

/// Of several wishes that wait the one that was written last counts, in whichever order they came; what the operator saw
/// resolved may come up again only for another number.
pub async fn the_last_wish_that_waits_counts(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let database = world.database().await;
    let (desk, other) = (Desk::open(&database).await, Desk::open(&database).await);
    desk.report(&world, &database, &words("AC2", LID, "START", 60)).await;
    desk.report(&world, &database, &words("AC1", LID, "STOP", 0)).await;
    other.report(&world, &database, &words("AC1", LID, "START", 0)).await;
    other.report(&world, &database, &words("AC2", LID, "STOP", 60)).await;
    assert_eq!(desk.effect(&database).await, "opt_in waits, heard 2");
    assert_eq!(other.effect(&database).await, "opt_out waits, heard 2");
    for desk in [&desk, &other] {
        desk.message(&database, OURS).await;
        desk.report(&world, &database, &sample("update_delivery_ack_lid")).await;
    }
    let delivered = "delivered, knows the number, heard 2, told message.delivered message.status_updated";
    assert_eq!(desk.effect(&database).await, delivered, "there was nothing to lift");
    assert_eq!(
        other.effect(&database).await,
        "delivered, all stopped by inbound, knows the number, heard 2, \
         told message.delivered message.status_updated recipient.opted_out"
    );
    // From now on both know whose LID it is.
    desk.report(&world, &database, &words("AC3", LID, "unsubscribe", 120)).await;
    other.report(&world, &database, &words("AC3", LID, "start", 120)).await;
    let stopped = "select account_id from suppressions";
    assert_eq!(count(&database, stopped).await, desk.account_id);
    assert_eq!(
        count(&database, "select count(*) from unresolved_senders where resolved_at is null").await,
        0
    );
}

/// What one account learnt of a LID says nothing to another, and a wish is carried out where it was asked for.
pub async fn a_number_is_learnt_for_one_account(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let database = world.database().await;
    let (desk, stranger) = (Desk::open(&database).await, Desk::open(&database).await);
    let back = Desk::beside(&database, desk.account_id, "back-desk").await;
    back.report(&world, &database, &sample("stop_lid_only")).await;
    stranger.report(&world, &database, &sample("stop_lid_only")).await;
    desk.report(&world, &database, &sample("stop_with_number_and_lid")).await;
    assert_eq!(
        desk.effect(&database).await,
        "all stopped by inbound, knows the number, heard 2, told recipient.opted_out"
    );
    let at_the_back = "select count(*) from events where instance_id = 'back-desk'";
    assert_eq!(count(&database, at_the_back).await, 1);
    assert_eq!(stranger.effect(&database).await, "opt_out waits, heard 1");
    let nobody = world.admin_fails(1, &["suppression", "unresolved", "--account", "999999"]).await;
    assert!(nobody.contains("999999"), "{nobody}");
}

/// The operator who finds the number out has the wish carried out; what is not listed cannot be resolved.
pub async fn the_operator_may_tell_the_number(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let database = world.database().await;
    let desk = Desk::open(&database).await;
    let account = desk.account_id.to_string();
    let phone = format!("+{PERSON}");
    let resolve = ["suppression", "resolve", "--account", &account, "--sender", LID, "--phone", &phone];
    let expected = format!("account {account} has no wish of `{LID}` that waits");
    assert_eq!(world.admin_fails(1, &resolve).await, expected);
    desk.report(&world, &database, &sample("stop_lid_only")).await;
    assert_eq!(world.admin(&resolve).await, json!({"id": phone}));
    assert_eq!(
        desk.effect(&database).await,
        "all stopped by inbound, knows the number, heard 1, told recipient.opted_out"
    );
    assert_eq!(world.admin_fails(1, &resolve).await, expected);
}

/// Somebody who is known by a LID and comes with another number keeps their opt-out.
pub async fn an_opt_out_follows_to_a_new_number(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let database = world.database().await;
    let desk = Desk::open(&database).await;
    let stop = sample("stop_with_number_and_lid").to_string().replace(PERSON, "966533330001");
    desk.report(&world, &database, &serde_json::from_str(&stop).expect("JSON")).await;
    assert_eq!(desk.effect(&database).await, "heard 1, told recipient.opted_out");
    let mut question = sample("stop_lid_then_number");
    question["data"]["message"]["conversation"] = "Is it open?".into();
    question["data"]["key"]["id"] = "AC2".into();
    desk.report(&world, &database, &question).await;
    assert_eq!(
        desk.effect(&database).await,
        "all stopped by inbound, knows the number, heard 2, told recipient.opted_out"
    );
    assert_eq!(count(&database, "select count(*) from suppressions").await, 2);
}
