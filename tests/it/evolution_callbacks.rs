//! Evolution's way in: the address of an instance, and what each sample does that comes to it.

use serde_json::json;

use crate::support::desk::{Desk, OURS, PERSON, post, sample, samples};
use crate::support::exposition::Exposition;
use crate::support::http;
use crate::support::meta::all_applied;
use crate::support::process::Binary;
use crate::support::rows::{count, life, wait_for_count};
use crate::support::services::Services;
use crate::support::world::World;

const SUPPRESSED: &str = "insert into suppressions (account_id, recipient, scope, source, created_at)
    values ($1, '966533330007', 'all', 'inbound', '2026-01-01')";
const CLOSED: &str =
    "update instances set connection = 'close', connection_by = 'provider' where account_id = $1";
const NOTHING: &str = "select $1::int8";

const STOPPED: &str = "all stopped by inbound, heard 1, told recipient.opted_out";
const STOPPED_AND_KNOWN: &str = "all stopped by inbound, knows the number, heard 1, told recipient.opted_out";
const SENT: &str = "sent, told message.status_updated";
const DELIVERED: &str = "delivered, told message.delivered message.status_updated";
const READ: &str = "read, told message.read message.status_updated";
const SHUT: &str = "close by provider, told instance.connection_updated";

/// Every sample: its name, what is so before, and what is so afterwards of an account with one message on its way.
const EFFECTS: &[(&str, &str, &str)] = &[
    ("stop_with_number_and_lid", NOTHING, STOPPED_AND_KNOWN),
    ("stop_lid_only", NOTHING, "opt_out waits, heard 1"),
    ("stop_lid_then_number", NOTHING, STOPPED_AND_KNOWN),
    ("stop_number_twice", NOTHING, STOPPED),
    ("stop_number_then_lid", NOTHING, STOPPED_AND_KNOWN),
    ("stop_number_of_sender", NOTHING, STOPPED_AND_KNOWN),
    ("stop_in_extended_text", NOTHING, STOPPED),
    ("stop_quoting_our_message", NOTHING, STOPPED_AND_KNOWN),
    ("stop_lid_quoting_our_message", NOTHING, STOPPED_AND_KNOWN),
    ("stop_in_disappearing_chat", NOTHING, STOPPED),
    ("stop_by_button", NOTHING, STOPPED),
    ("stop_by_template_button", NOTHING, STOPPED),
    ("stop_by_list", NOTHING, STOPPED),
    ("start_with_number", SUPPRESSED, "heard 1, told recipient.opted_in"),
    ("a_question", NOTHING, "heard 1"),
    ("a_picture", NOTHING, "heard 1"),
    ("owner_writes_stop", NOTHING, ""),
    ("group_says_stop", NOTHING, ""),
    ("status_broadcast", NOTHING, ""),
    ("channel_post", NOTHING, ""),
    (
        "batch_of_texts",
        SUPPRESSED,
        "all stopped by inbound, heard 2, told recipient.opted_in recipient.opted_out",
    ),
    ("update_pending", NOTHING, ""),
    ("update_server_ack", NOTHING, SENT),
    ("update_delivery_ack", NOTHING, DELIVERED),
    ("update_delivery_ack_device", NOTHING, DELIVERED),
    (
        "update_delivery_ack_lid",
        NOTHING,
        "delivered, knows the number, told message.delivered message.status_updated",
    ),
    ("update_delivery_ack_bare", NOTHING, DELIVERED),
    ("update_read", NOTHING, READ),
    ("update_played", NOTHING, READ),
    ("update_error", NOTHING, "failed, told message.status_updated"),
    ("update_read_of_theirs", NOTHING, ""),
    ("update_edit_as_deleted", NOTHING, ""),
    ("update_edit_as_server_ack", NOTHING, ""),
    ("update_deleted_of_ours", NOTHING, ""),
    ("update_row_id_is_no_key", NOTHING, ""),
    ("update_by_number", NOTHING, DELIVERED),
    ("update_of_an_unknown_word", NOTHING, ""),
    ("batch_of_updates", NOTHING, READ),
    ("send_message", NOTHING, SENT),
    ("send_message_in_capitals", NOTHING, SENT),
    ("delete_of_ours", NOTHING, ""),
    ("delete_of_ours_with_status", NOTHING, ""),
    ("connection_open", CLOSED, "open by provider, told instance.connection_updated"),
    ("connection_connecting", NOTHING, "connecting by provider, told instance.connection_updated"),
    ("connection_logged_out", NOTHING, SHUT),
    ("connection_banned", NOTHING, SHUT),
    ("connection_refused", NOTHING, SHUT),
    ("connection_of_an_unknown_word", NOTHING, ""),
    ("status_instance_closed", NOTHING, SHUT),
    ("logout_instance", NOTHING, SHUT),
    ("remove_instance", NOTHING, SHUT),
    ("qrcode_updated", NOTHING, ""),
    ("qrcode_limit", NOTHING, ""),
    ("presence", NOTHING, ""),
];

/// The samples whose effect is known.
pub fn samples_with_effects() -> Vec<&'static str> {
    EFFECTS.iter().map(|(name, ..)| *name).collect()
}

/// Events whose bodies hold secrets and are not kept.
const NOT_KEPT: [&str; 2] = ["qrcode_updated", "qrcode_limit"];

/// Each sample, posted to an account of its own, has its effect and no other; posted again, and once more as another
/// body that says the same, it changes nothing.
pub async fn every_sample_has_its_effect(services: &Services) {
    let world = World::new(services).await;
    let gateway = world.start(Binary::Gateway).await;
    let database = world.database().await;
    assert_eq!(samples().len(), EFFECTS.len(), "every sample has its effect");
    let mut desks = Vec::new();
    for (name, before, _) in EFFECTS {
        let desk = Desk::open(&database).await;
        desk.message(&database, OURS).await;
        database.execute(*before, &[&desk.account_id]).await.expect("it can be made so");
        desk.post(&world, &sample(name)).await;
        desks.push(desk);
    }
    all_applied(&database).await;
    let mut differ = Vec::new();
    for ((name, _, expected), desk) in EFFECTS.iter().zip(&desks) {
        let effect = desk.effect(&database).await;
        if effect != *expected {
            differ.push(format!("{name}: {effect:?} instead of {expected:?}"));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    let (rows, events) = ("select count(*) from callbacks", "select count(*) from events");
    let kept = i64::try_from(EFFECTS.len() - NOT_KEPT.len()).expect("few");
    assert_eq!(count(&database, rows).await, kept);

    let told = count(&database, events).await;
    for ((name, ..), desk) in EFFECTS.iter().zip(&desks) {
        desk.post(&world, &sample(name)).await;
        let mut again = sample(name);
        again["date_time"] = "2026-02-01T06:01:45.000Z".into();
        desk.post(&world, &again).await;
    }
    all_applied(&database).await;
    assert_eq!(count(&database, rows).await, 2 * kept);
    assert_eq!(count(&database, events).await, told);
    for ((name, _, expected), desk) in EFFECTS.iter().zip(&desks) {
        assert_eq!(desk.effect(&database).await, *expected, "{name}");
    }
    let told = Exposition::of(&gateway).await;
    // Twice each: a broken part of a batch, a status without a key, three words and an event that nobody knows.
    let ignored = told.sum("gatepost_callback_parts_ignored_total", &[("provider", "evolution")]);
    assert_eq!(ignored, Some(10.0));
}

/// An address that is no instance's, or is of an instance with another provider, is refused in the documents' shape and
/// leaves nothing behind; so is a body of more than four megabytes.
pub async fn an_address_and_a_size_are_required(services: &Services) {
    const LIMIT: usize = 4 * 1024 * 1024;
    const UNKNOWN: &str = r#"{"success":false,"error":"invalid_callback_token","message":"This is the callback address of no instance.","details":[]}"#;
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let (url, database) = (world.gateway_url(), world.database().await);
    let (desk, other) = (Desk::open(&database).await, Desk::open(&database).await);
    let message = desk.message(&database, OURS).await;
    let not_evolution = "update instances set provider = 'sandbox' where account_id = $1";
    database.execute(not_evolution, &[&other.account_id]).await.expect("the database answers");

    let body = sample("update_read").to_string();
    let changed = format!("{}0", &desk.token[..desk.token.len() - 1]);
    let changed =
        if changed == desk.token { format!("{}1", &desk.token[..desk.token.len() - 1]) } else { changed };
    let long = "x".repeat(300);
    for token in [
        &changed,
        &other.token,
        &desk.token.to_uppercase(),
        "short",
        "%00%00%00%00%00%00%00%00%00%00%00",
        &long,
    ] {
        let answer = post(&url, token, body.clone()).await;
        assert_eq!((answer.status, answer.text.as_str()), (401, UNKNOWN), "{token}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
    assert_eq!(post(&url, "", body.clone()).await.status, 404);
    assert_eq!(
        http()
            .get(format!("{url}/callbacks/evolution/{}", desk.token))
            .send()
            .await
            .expect("an answer")
            .status(),
        405
    );

    let padded = |length: usize| {
        let mut bytes = body.clone().into_bytes();
        bytes.resize(length, b' ');
        bytes
    };
    let answer = post(&url, &desk.token, padded(LIMIT + 1)).await;
    assert_eq!((answer.status, answer.error()), (413, "payload_too_large"));
    assert_eq!(count(&database, "select count(*) from callbacks").await, 0);
    assert_eq!(post(&url, &desk.token, padded(LIMIT)).await.status, 200);
    all_applied(&database).await;
    assert_eq!(life(&database, &message).await, "queued sending read");
}

/// What is no callback at all is taken, so that Evolution does not repeat it, and changes nothing.
pub async fn garbage_changes_nothing(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let (url, database) = (world.gateway_url(), world.database().await);
    let desk = Desk::open(&database).await;
    desk.message(&database, OURS).await;
    let bodies: [&[u8]; 7] =
        [b"", b"stop", b"[]", b"{\"event\":", b"\xff\xfe\x00", b"{\"event\":\"messages.update\"}", b"{}"];
    for body in bodies {
        assert_eq!(post(&url, &desk.token, body.to_vec()).await.status, 200);
    }
    let nested = "[".repeat(100_000);
    assert_eq!(post(&url, &desk.token, nested).await.status, 200);
    all_applied(&database).await;
    assert_eq!(desk.effect(&database).await, "");
    assert_eq!(count(&database, "select count(*) from callbacks").await, 8);
}

/// A callback speaks for the instance whose address it came to, whatever its body says: neither another tenant's messages
/// nor those of another instance are touched by it.
pub async fn an_address_speaks_for_its_own_instance(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let database = world.database().await;
    let (desk, stranger) = (Desk::open(&database).await, Desk::open(&database).await);
    let neighbour = Desk::beside(&database, desk.account_id, "back-desk").await;
    let message = desk.message(&database, OURS).await;
    for elsewhere in [&stranger, &neighbour] {
        elsewhere.post(&world, &sample("update_read")).await;
        elsewhere.post(&world, &sample("update_error")).await;
    }
    stranger.post(&world, &sample("connection_logged_out")).await;
    stranger.post(&world, &sample("stop_lid_quoting_our_message")).await;
    // For their own sender the reports may still become known.
    let tried = "select count(*) from callbacks where tries > 0 and due_at is not null";
    wait_for_count(&database, tried, 4).await;
    wait_for_count(&database, "select count(*) from unresolved_senders", 1).await;
    assert_eq!(desk.effect(&database).await, "");
    assert_eq!(
        stranger.effect(&database).await,
        "opt_out waits, heard 1, close by provider, told instance.connection_updated"
    );
    // The very same body at the right address is another callback.
    desk.post(&world, &sample("update_read")).await;
    world.wait_for_status(&message, &["read"]).await;
    assert_eq!(life(&database, &message).await, "queued sending read");
}

/// A report of an id that is not recorded yet waits and takes effect once the send is recorded.
pub async fn a_report_waits_for_its_message(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let database = world.database().await;
    let desk = Desk::open(&database).await;
    desk.post(&world, &sample("update_delivery_ack_lid")).await;
    let parked = "select count(*) from callbacks where tries > 0 and due_at > now()";
    wait_for_count(&database, parked, 1).await;
    assert_eq!(desk.effect(&database).await, "");
    let message = desk.message(&database, OURS).await;
    world.wait_for_status(&message, &["delivered"]).await;
    all_applied(&database).await;
    assert_eq!(life(&database, &message).await, "queued sending delivered");
    // The message has told whose LID it is: a wish from there needs no number.
    desk.report(&world, &database, &sample("stop_lid_only")).await;
    assert_eq!(
        desk.effect(&database).await,
        "delivered, all stopped by inbound, knows the number, heard 1, \
         told message.delivered message.status_updated recipient.opted_out"
    );
}

/// A delivery outranks an error reported before it; an error of an earlier call does not end the message of a later one.
pub async fn an_error_counts_for_its_own_call(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let database = world.database().await;
    let desk = Desk::open(&database).await;
    let message = desk.message(&database, "3EB0FIRST").await;
    let second = "with a as (insert into attempts (account_id, message_id, attempt, provider_message_id)
                  select account_id, message_id, 2, '3EB0SECOND' from messages where message_id = $1::text::uuid)
                  update messages set calls = 2 where message_id = $1::text::uuid";
    database.execute(second, &[&message]).await.expect("the database answers");
    let update = |id: &str, status: &str| {
        json!({"event": "messages.update", "data":
            {"keyId": id, "remoteJid": format!("{PERSON}@s.whatsapp.net"), "fromMe": true, "status": status}})
    };
    desk.report(&world, &database, &update("3EB0FIRST", "ERROR")).await;
    assert_eq!(life(&database, &message).await, "queued sending");
    desk.report(&world, &database, &update("3EB0SECOND", "ERROR")).await;
    assert_eq!(life(&database, &message).await, "queued sending failed");
    let row = "select outcome || ': ' || reason from attempts where attempt = 2";
    let noted: String = database.query_one(row, &[]).await.expect("it is noted").get(0);
    assert_eq!(noted, "accepted: evolution reports that WhatsApp did not take the message");
    desk.report(&world, &database, &update("3EB0SECOND", "DELIVERY_ACK")).await;
    assert_eq!(life(&database, &message).await, "queued sending failed delivered");
}

/// Reports that come in the wrong order change nothing any more.
pub async fn a_late_report_changes_nothing(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let database = world.database().await;
    let desk = Desk::open(&database).await;
    let message = desk.message(&database, OURS).await;
    let names = ["update_read", "update_delivery_ack", "update_server_ack", "send_message", "update_error"];
    for name in names {
        desk.report(&world, &database, &sample(name)).await;
    }
    assert_eq!(life(&database, &message).await, "queued sending read");
}

/// `send.message` is evidence for the one message it can be, once no call can be under way any more: of the same recipient
/// and text, with an outcome that is unknown. Where two look alike, neither is taken.
pub async fn what_went_out_is_recognised_by_its_text(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let database = world.database().await;
    let mut sent = sample("send_message");
    sent["data"]["message"]["conversation"] = "Your parcel is here.".into();
    let mut another = sent.clone();
    another["data"]["message"]["conversation"] = "Your parcel is there.".into();
    let unknown = "update messages set status = 'unknown', in_flight = false where account_id = $1";
    let (alone, twins, other) =
        (Desk::open(&database).await, Desk::open(&database).await, Desk::open(&database).await);
    let message = alone.message(&database, "3EB0PROPOSED").await;
    for (desk, id, body) in [
        (&alone, None, &sent),
        (&twins, Some("3EB0ONE"), &sent),
        (&twins, Some("3EB0TWO"), &sent),
        (&other, Some("3EB0ONE"), &another),
    ] {
        if let Some(id) = id {
            desk.message(&database, id).await;
        }
        database.execute(unknown, &[&desk.account_id]).await.expect("the database answers");
        desk.post(&world, body).await;
    }
    let parked = "select count(*) from callbacks where tries > 0 and due_at is not null";
    wait_for_count(&database, parked, 3).await;
    assert_eq!(world.status(&message).await, "unknown", "its call may be under way");
    let aged = "with a as (update attempts set started_at = started_at - interval '1 minute')
                update callbacks set received_at = received_at - interval '31 seconds', due_at = now(), tries = 0";
    database.execute(aged, &[]).await.expect("the database answers");
    world.wait_for_status(&message, &["sent"]).await;
    wait_for_count(&database, parked, 2).await;
    let untouched = "select count(*) from messages where status = 'unknown'";
    assert_eq!(count(&database, untouched).await, 3);
    // From now on the message goes by the id that it really has.
    alone.post(&world, &sample("update_delivery_ack")).await;
    world.wait_for_status(&message, &["delivered"]).await;
}
