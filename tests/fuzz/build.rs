//! Makes the seed corpora out of the tests' samples, each sample a file of its own, byte for byte.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::value::RawValue;

const CORPORA: [(&str, &str); 2] =
    [("meta_callback", "meta/webhooks.json"), ("evolution_callback", "evolution/callbacks.json")];
/// Seeds of their own: a target, a name, the bytes.
const SEEDS: [(&str, &str, &str); 7] = [
    (
        "send_request",
        "text",
        r#"{"instance_id":"shop","phone":"+966500000001","message":"Your order is ready.","message_purpose":"support","validity_seconds":60,"type":"text"}"#,
    ),
    (
        "send_request",
        "template",
        r#"{"instance_id":"shop","phone":"+14155550123","message":"Hello Sara, 2041","template":{"name":"ready","language":"en_US","parameters":{"who":"Sara","number":"2041"}}}"#,
    ),
    (
        "send_request",
        "a zero within",
        r#"{"instance_id":"shop","phone":"+55036 1822002","message":"Your order is ready."}"#,
    ),
    ("job", "deliver", r#"{"v":1,"kind":"deliver","ids":["1/0198c0de-0000-7000-8000-000000000001"]}"#),
    (
        "job",
        "notify",
        r#"{"v":1,"kind":"notify","ids":["1/0198c0de-0000-7000-8000-000000000001/0198c0de-0000-7000-8000-000000000002"]}"#,
    ),
    (
        "provider_answer",
        "usage",
        "\u{1}\u{2c}\u{2}30\n{\"1\":[{\"estimated_time_to_regain_access\":5}]}\n{\"error\":{\"message\":\"any\",\"type\":\"OAuthException\",\"code\":130429,\"error_subcode\":7}}",
    ),
    ("rules_file", "builtin", include_str!("../../src/domain/rules/default.toml")),
];
/// The answers of both providers, which are preceded by a status and two lines.
const ANSWERS: [(&str, [u8; 3]); 4] = [
    ("meta/send_text_response.json", [0, 100, 2]),
    ("evolution/send_text_response.json", [0, 101, 2]),
    ("meta/send_errors.json", [1, 44, 2]),
    ("evolution/send_errors.json", [1, 144, 2]),
];

fn main() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let seed = |target: &str, name: &str, bytes: &[u8]| {
        let corpus = here.join("corpus").join(target);
        fs::create_dir_all(&corpus).expect("the corpus has a folder");
        fs::write(corpus.join(name), bytes).expect("a seed can be written");
    };
    for (target, name, text) in SEEDS {
        seed(target, name, text.as_bytes());
    }
    for (sample, head) in ANSWERS {
        let body = fs::read(here.join("../fixtures").join(sample)).expect("the sample can be read");
        seed("provider_answer", &sample.replace('/', "_"), &[&head[..], b"30\n\n", &body].concat());
    }
    for (target, samples) in CORPORA {
        let samples = here.join("../fixtures").join(samples);
        println!("cargo:rerun-if-changed={}", samples.display());
        let text = fs::read_to_string(&samples).expect("the samples can be read");
        let samples: BTreeMap<String, &RawValue> = serde_json::from_str(&text).expect("an object of samples");
        for (name, sample) in samples {
            seed(target, &name, sample.get().as_bytes());
        }
    }
}
