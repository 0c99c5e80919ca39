//! Makes the seed corpora out of the tests' samples, each sample a file of its own, byte for byte.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::value::RawValue;

const CORPORA: [(&str, &str); 2] =
    [("meta_callback", "meta/webhooks.json"), ("evolution_callback", "evolution/callbacks.json")];

fn main() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (target, samples) in CORPORA {
        let samples = here.join("../fixtures").join(samples);
        println!("cargo:rerun-if-changed={}", samples.display());
        let text = fs::read_to_string(&samples).expect("the samples can be read");
        let samples: BTreeMap<String, &RawValue> = serde_json::from_str(&text).expect("an object of samples");
        let corpus = here.join("corpus").join(target);
        fs::create_dir_all(&corpus).expect("the corpus has a folder");
        for (name, sample) in samples {
            fs::write(corpus.join(name), sample.get()).expect("a seed can be written");
        }
    }
}
