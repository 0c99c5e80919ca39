//! Samples of everything that Evolution says: what each does, and that none is left out.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::evolution_callbacks::samples_with_effects;
use crate::support::eventually;
use crate::support::evolution::{Reply, Stage, wire};
use crate::support::rows::provider_id;
use crate::support::services::Services;

const ERRORS: &str = include_str!("../fixtures/evolution/send_errors.json");
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/evolution");

/// The samples of `wire.json`, and the test that each is in.
const WIRE: [(&str, &str); 14] = [
    ("connection_state_response_open", "samples_of_states_are_followed"),
    ("connection_state_response_connecting", "samples_of_states_are_followed"),
    ("connection_state_response_close", "samples_of_states_are_followed"),
    ("connection_state_response_not_loaded", "samples_of_states_are_followed"),
    ("whatsapp_numbers_request", "samples_of_answers_to_sends_are_understood"),
    ("whatsapp_numbers_response_200", "samples_of_answers_to_sends_are_understood"),
    ("find_messages_request", "a_message_is_asked_for_exactly_like_this"),
    ("find_messages_response_200", "the_sample_is_found_by_its_id_and_by_its_text"),
    ("webhook_set_request", "a_webhook_is_set_exactly_like_this"),
    ("webhook_set_request_jwt", "a_webhook_is_set_exactly_like_this"),
    ("webhook_set_response_201", "evolution_is_told_where_to_report"),
    ("webhook_request_headers_by_version", "tokens_and_keys_are_not_kept"),
    ("webhook_jwt_vector", "the_sample_counts_until_its_leeway_ends"),
    ("error_webhook_leaks_global_key", "tokens_and_keys_are_not_kept"),
];

/// Everything that a server of some version is known to say or to be asked, and the sample that shows it here.
const KNOWN: [(&str, &str); 66] = [
    ("connection_state_response_close", "wire connection_state_response_close"),
    ("connection_state_response_connecting", "wire connection_state_response_connecting"),
    ("connection_state_response_not_loaded", "wire connection_state_response_not_loaded"),
    ("connection_state_response_open", "wire connection_state_response_open"),
    ("connection_update_close_401", "callbacks connection_logged_out"),
    ("connection_update_close_403", "callbacks connection_banned"),
    ("connection_update_connecting", "callbacks connection_connecting"),
    ("connection_update_open", "callbacks connection_open"),
    ("connection_update_refused_qr_limit", "callbacks connection_refused"),
    ("error_400_number_not_on_whatsapp", "errors not on WhatsApp"),
    ("error_400_runtime_after_send_db_failure", "errors its database failed after the send"),
    ("error_400_runtime_connection_closed", "errors socket down while sending"),
    ("error_400_runtime_timed_out", "errors an inner call timed out"),
    ("error_400_text_required", "errors blank text"),
    ("error_400_validation_missing_text", "errors a field is missing"),
    ("error_400_validation_number_type", "errors a field has the wrong type"),
    ("error_401_unauthorized", "errors wrong key"),
    ("error_404_instance", "errors no such instance"),
    ("error_404_route", "errors no such route"),
    ("error_500_connection_closed", "errors socket down during the look-up"),
    ("error_500_instance_not_loaded", "errors instance not loaded"),
    ("error_503_license_required", "errors not licensed"),
    ("error_webhook_leaks_global_key", "wire error_webhook_leaks_global_key"),
    ("find_messages_request", "wire find_messages_request"),
    ("find_messages_response_200", "wire find_messages_response_200"),
    ("logout_instance", "callbacks logout_instance"),
    ("messages_delete_v236", "callbacks delete_of_ours"),
    ("messages_delete_v237", "callbacks delete_of_ours_with_status"),
    ("messages_update_delivery_ack", "callbacks update_delivery_ack"),
    ("messages_update_delivery_ack_bare_v24", "callbacks update_delivery_ack_bare"),
    ("messages_update_delivery_ack_device_suffix", "callbacks update_delivery_ack_device"),
    ("messages_update_delivery_ack_lid", "callbacks update_delivery_ack_lid"),
    ("messages_update_edit_noise_deleted_v235", "callbacks update_edit_as_deleted"),
    ("messages_update_edit_noise_server_ack_v237", "callbacks update_edit_as_server_ack"),
    ("messages_update_error", "callbacks update_error"),
    ("messages_update_pending", "callbacks update_pending"),
    ("messages_update_played", "callbacks update_played"),
    ("messages_update_read", "callbacks update_read"),
    ("messages_update_read_inbound_ignore", "callbacks update_read_of_theirs"),
    ("messages_update_server_ack", "callbacks update_server_ack"),
    ("messages_upsert_extended_text_legacy", "callbacks stop_in_extended_text"),
    ("messages_upsert_from_me_phone", "callbacks owner_writes_stop"),
    ("messages_upsert_group_ignore", "callbacks group_says_stop"),
    ("messages_upsert_reply_quoting_our_message", "callbacks stop_quoting_our_message"),
    ("messages_upsert_stop_lid_only_v22", "callbacks stop_lid_only"),
    ("messages_upsert_stop_lid_v236", "callbacks stop_lid_then_number"),
    ("messages_upsert_stop_lid_v237", "callbacks stop_number_twice"),
    ("messages_upsert_stop_lid_v24", "callbacks stop_number_then_lid"),
    ("messages_upsert_stop_pn", "callbacks stop_with_number_and_lid"),
    ("messages_upsert_stop_sender_pn_v232", "callbacks stop_number_of_sender"),
    ("qrcode_limit_reached", "callbacks qrcode_limit"),
    ("qrcode_updated", "callbacks qrcode_updated"),
    ("remove_instance", "callbacks remove_instance"),
    ("send_message", "callbacks send_message"),
    ("send_text_request", "file send_text_request.json"),
    ("send_text_request_v24_message_id", "file send_text_request.json"),
    ("send_text_response_201", "file send_text_response.json"),
    ("send_text_response_201_legacy_v21", "file send_text_response_v21.json"),
    ("status_instance_closed", "callbacks status_instance_closed"),
    ("webhook_jwt_vector", "wire webhook_jwt_vector"),
    ("webhook_request_headers_by_version", "wire webhook_request_headers_by_version"),
    ("webhook_set_request", "wire webhook_set_request"),
    ("webhook_set_request_jwt", "wire webhook_set_request_jwt"),
    ("webhook_set_response_201", "wire webhook_set_response_201"),
    ("whatsapp_numbers_request", "wire whatsapp_numbers_request"),
    ("whatsapp_numbers_response_200", "wire whatsapp_numbers_response_200"),
];

fn file(name: &str) -> Value {
    let text = std::fs::read_to_string(Path::new(FOLDER).join(name)).expect("the sample can be read");
    serde_json::from_str(&text).expect("the sample is JSON")
}

fn errors() -> Vec<Value> {
    serde_json::from_str(ERRORS).expect("the samples are JSON")
}

/// Everything in the fixtures is in a test, by name; and everything that is known of Evolution's wire has its sample.
pub fn samples_are_all_used() {
    let files: BTreeSet<String> = std::fs::read_dir(FOLDER)
        .expect("the folder can be read")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .collect();
    let used = [
        "callbacks",
        "send_errors",
        "send_text_request",
        "send_text_response",
        "send_text_response_v21",
        "wire",
    ];
    assert_eq!(files, used.map(|name| format!("{name}.json")).into());

    let names = |value: &Value| -> BTreeSet<String> {
        value.as_object().expect("an object").keys().cloned().collect()
    };
    let callbacks = names(&file("callbacks.json"));
    assert_eq!(callbacks, samples_with_effects().into_iter().map(str::to_owned).collect());
    let wire = names(&file("wire.json"));
    assert_eq!(wire, WIRE.iter().map(|(name, _)| (*name).to_owned()).collect());
    let errors: BTreeSet<String> =
        errors().iter().map(|error| error["name"].as_str().expect("a name").to_owned()).collect();

    for (known, shown_by) in KNOWN {
        let (kind, name) = shown_by.split_once(' ').expect("a kind and a name");
        let there = match kind {
            "callbacks" => &callbacks,
            "errors" => &errors,
            "wire" => &wire,
            _ => &files,
        };
        assert!(there.contains(name), "{known} has no sample {shown_by}");
    }
    assert_eq!(KNOWN.map(|(known, _)| known).into_iter().collect::<BTreeSet<_>>().len(), KNOWN.len());
}

/// The outcome of a message's first call.
async fn outcome(stage: &Stage, message: &str) -> String {
    let database = stage.world.database().await;
    let sql = "select outcome from attempts where message_id = $1::text::uuid and attempt = 1";
    eventually("its first call is recorded", async || {
        database.query_opt(sql, &[&message]).await.expect("attempts can be read")?.get::<_, Option<String>>(0)
    })
    .await
}

/// The message is over, and its instance open: the next sample finds nothing of this one.
async fn begin_anew(stage: &Stage, message: &str) {
    let database = stage.world.database().await;
    let over = "update messages set status = 'failed', due_at = null, lease = null, unsent = false, in_flight = false
                where message_id = $1::text::uuid";
    let open = "update instances set connection = 'open', probe = null where instance_id = 'evo'";
    database.execute(over, &[&message]).await.expect("it can be ended");
    database.execute(open, &[]).await.expect("it can be opened");
}

/// Each refusal, answered to a real send, has the outcome that its class has, and holds the sender where it is to blame.
pub async fn samples_of_errors_have_their_effect(services: &Services) {
    let stage = Stage::new(services).await;
    for (n, error) in errors().into_iter().enumerate() {
        let (name, class) =
            (error["name"].as_str().expect("a name"), error["class"].as_str().expect("a class"));
        let http = u16::try_from(error["http"].as_u64().expect("a status")).expect("a status");
        stage.server.plan(Reply::Say(http, error["body"].clone()));
        let message = stage.customer.accepted(&format!("+9665002500{n:02}")).await;
        assert_eq!(outcome(&stage, &message).await, class, "{name}");
        let status = match class {
            "permanent" | "recipient" => "failed",
            "unknown" => "unknown",
            _ => "sending",
        };
        stage.world.wait_for_status(&message, &[status]).await;
        assert_eq!(stage.connection().await, if class == "instance" { "suspect" } else { "open" }, "{name}");
        begin_anew(&stage, &message).await;
    }
}

/// Acceptances of both shapes are taken by their id, and nothing else is: not even a good answer to another question. Nothing
/// is asked of the server that is not needed.
pub async fn samples_of_answers_to_sends_are_understood(services: &Services) {
    let stage = Stage::new(services).await;
    let database = stage.world.database().await;
    for (n, (sample, id)) in [
        ("send_text_response.json", "3EB0F1E2D3C4B5A6978801"),
        ("send_text_response_v21.json", "BAE5F1E2D3C4B5A6"),
    ]
    .into_iter()
    .enumerate()
    {
        stage.server.plan(Reply::Say(201, file(sample)));
        let message = stage.customer.accepted(&format!("+96650026000{n}")).await;
        stage.world.wait_for_status(&message, &["sent"]).await;
        assert_eq!(provider_id(&database, &message).await, id);
    }
    stage.server.plan(Reply::Say(200, wire("whatsapp_numbers_response_200")));
    let message = stage.customer.accepted("+966500260009").await;
    assert_eq!(outcome(&stage, &message).await, "unknown");
    stage.world.wait_for_status(&message, &["failed"]).await;

    let asked = stage.server.asked("sendText");
    let keys = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<BTreeSet<_>>();
    assert!(asked.iter().all(|asked| keys(&asked.body) == keys(&file("send_text_request.json"))));
    // Whether a number is on WhatsApp the server finds out itself.
    assert!(
        asked.iter().all(|asked| keys(&asked.body).is_disjoint(&keys(&wire("whatsapp_numbers_request"))))
    );
    assert_eq!(stage.server.asked_elsewhere(), Vec::<String>::new());
}

/// The connection follows each state that a look may find.
pub async fn samples_of_states_are_followed(services: &Services) {
    let stage = Stage::looking(services).await;
    for (sample, expected) in [
        ("connection_state_response_connecting", "connecting"),
        ("connection_state_response_open", "open"),
        ("connection_state_response_close", "close"),
        ("connection_state_response_open", "open"),
        ("connection_state_response_not_loaded", "close"),
        ("connection_state_response_connecting", "connecting"),
    ] {
        stage.server.answer_looks(wire(sample));
        stage.wait_for_connection(expected).await;
    }
    let sql = "select string_agg(state, ' ' order by event_id) from events where kind = 'instance.connection_updated'";
    let told = stage.world.database().await.query_one(sql, &[]).await.expect("events can be read");
    // Closed counts when it was found twice.
    let expected = "connecting open connecting close open connecting close connecting";
    assert_eq!(told.get::<_, &str>(0), expected);
}
