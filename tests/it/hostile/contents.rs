//! Bodies whose contents are not what they should be.

use serde_json::{Value, json};

use super::{Scene, assert_fields, assert_refused};
use crate::support::services::Services;
use crate::support::world::answer;

/// The fields no send can do without.
const REQUIRED: [&str; 3] = ["instance_id", "phone", "message"];

/// What is no JSON in UTF-8, or ambiguous, is `invalid_json`.
pub async fn hostile_json_is_refused(services: &Services) {
    let scene = Scene::new(services).await;
    let good = scene.customer.message("+966500010001").to_string();
    let with = |member: &str| format!("{},{member}}}", good.trim_end_matches('}')).into_bytes();
    let mut latin1 = good.clone().into_bytes();
    let place = good.find("invoice").expect("a word");
    latin1[place] = 0xe9;
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", Vec::new()),
        ("half of it", good.as_bytes()[..good.len() / 2].to_vec()),
        ("something after it", format!("{good} x").into_bytes()),
        ("two of it", format!("{good}{good}").into_bytes()),
        ("Latin-1", latin1),
        ("overlong UTF-8", with("\"x\":\"\u{0}\"").into_iter().flat_map(overlong).collect()),
        ("a surrogate in UTF-8", [&with("\"x\":\"")[..], b"\xed\xa0\x80\"}"].concat()),
        ("half a surrogate pair", good.replace("invoice", "\\ud800").into_bytes()),
        ("a byte order mark", format!("\u{feff}{good}").into_bytes()),
        ("UTF-16", good.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("a phone twice", with(r#""phone":"+966500010002""#)),
        ("a purpose twice", with(r#""message_purpose":"transactional""#)),
        ("a medium twice", with(r#""image":null,"image":null"#)),
        ("60,000 deep", [b"[".repeat(30_000), b"]".repeat(30_000)].concat()),
        ("60,000 open", b"[".repeat(60_000)),
        ("objects 10,000 deep", br#"{"a":"#.repeat(10_000)),
        ("a member 30,000 deep", with(&format!(r#""x":{}"#, "[".repeat(30_000)))),
        ("a medium 30,000 deep", with(&format!(r#""media":{}{}"#, "[".repeat(15_000), "]".repeat(15_000)))),
        ("comments", format!("/* hello */ {good}").into_bytes()),
        ("a form", b"phone=%2B966500010001&message=x".to_vec()),
        ("a NUL between members", with("\u{0}\"x\":1")),
        ("a bare NUL in a text", with("\"x\":\"\u{0}\"")),
    ];
    for (what, body) in cases {
        assert_refused(&scene.post(body).await, 400, "invalid_json", what);
    }
    // A hundred thousand levels do not fit into the largest body.
    let deep = scene.post("[".repeat(100_000)).await;
    assert_refused(&deep, 413, "payload_too_large", "100,000 deep");
    scene.still_well("+966500010003").await;
}

/// A NUL byte as two bytes, as some C programs write it.
fn overlong(byte: u8) -> Vec<u8> {
    if byte == 0 { vec![0xc0, 0x80] } else { vec![byte] }
}

/// Well-formed JSON with the wrong contents names exactly the fields that are wrong: what the database could not hold,
/// what has another type, what is too long.
pub async fn hostile_fields_are_named(services: &Services) {
    let scene = Scene::new(services).await;
    for body in ["null", "1", "\"text\"", "[]", "[{}]", "{}", "true"] {
        assert_fields(&scene.post(body).await, &REQUIRED, body);
    }
    let changed = async |field: &str, value: Value| scene.changed(field, value).await;
    let wrong = [
        (
            "message",
            vec![
                json!("a\0b"),
                json!("\0"),
                json!(""),
                json!("  "),
                json!(5),
                json!(["x"]),
                json!("x".repeat(4097)),
            ],
        ),
        (
            "instance_id",
            vec![json!("shop\0main"), json!(7), json!(null), json!("x".repeat(101)), json!({"id": 1})],
        ),
        (
            "phone",
            vec![
                json!("+9665000\u{0}10001"),
                json!(966_500_010_001_u64),
                json!("nobody"),
                json!("٩٦٦٥٠٠٠١٠٠٠١"),
                json!("9".repeat(60_000)),
            ],
        ),
        ("validity_seconds", vec![json!(0), json!(-1), json!(1.5), json!("60"), json!(u64::MAX)]),
    ];
    for (field, values) in wrong {
        for value in values {
            let what = format!("{field} {:.40}", value.to_string());
            assert_fields(&changed(field, value).await, &[field], &what);
        }
    }
    let purpose = changed("message_purpose", json!("transactional\0")).await;
    assert_refused(&purpose, 422, "message_purpose_not_allowed", "a purpose with a NUL");
    let mut harmless = scene.customer.message("+966500010002");
    harmless["note\u{0}"] = json!("a\0b");
    harmless["type"] = json!("text");
    assert_eq!(scene.customer.send(&harmless).await.status, 202, "unknown fields are ignored");
    scene.still_well("+966500010003").await;
}

/// Whatever asks for media names the members that do.
pub async fn hostile_media_are_named(services: &Services) {
    let scene = Scene::new(services).await;
    let changed = async |field: &str, value: Value| scene.changed(field, value).await;
    let media = ["media", "media_url", "image", "document", "audio", "video", "file", "caption"];
    for field in media {
        for value in [json!("https://shop.example/a.png"), json!({"link": "x"}), json!([]), json!(false)] {
            assert_fields(&changed(field, value).await, &[field], field);
        }
    }
    for kind in [json!("image"), json!("TEXT"), json!(1)] {
        assert_fields(&changed("type", kind).await, &["type"], "type");
    }
    let mut all = json!({"type": "video"});
    for field in media {
        all[field] = json!("x");
    }
    let expected = [&REQUIRED[..], &media[..], &["type"]].concat();
    assert_fields(&scene.post(all.to_string()).await, &expected, "everything at once");

    scene.still_well("+966500010003").await;
}

/// Only `application/json` in UTF-8 is taken, and that is looked at before anything else.
pub async fn hostile_media_types_are_refused(services: &Services) {
    let scene = Scene::new(services).await;
    let url = format!("{}/api/send-message", scene.world.gateway_url());
    let body = scene.customer.message("+966500010001").to_string();
    let request = || scene.customer.http.post(&url).bearer_auth(&scene.customer.key).body(body.clone());
    for wrong in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonp",
        "application/json; charset=latin1",
        "application/json; charset=utf-16",
        "application/",
        "*/*",
        "json",
        "",
    ] {
        let answer = answer(request().header("content-type", wrong)).await;
        assert_refused(&answer, 415, "unsupported_media_type", wrong);
    }
    assert_refused(&answer(request()).await, 415, "unsupported_media_type", "none");
    for right in ["application/json", "Application/JSON; charset=UTF-8"] {
        assert_eq!(answer(request().header("content-type", right)).await.status, 202, "{right}");
    }
    scene.still_well("+966500010003").await;
}
