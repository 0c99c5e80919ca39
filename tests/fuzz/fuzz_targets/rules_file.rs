//! What an operator's rules file may be, and a text that is read by it: the file, a zero, the text. Nothing of it may panic,
//! and what fires is a rule of the file's.

#![no_main]

use gatepost::domain::purpose::Purpose;
use gatepost::domain::rules::Rules;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let end = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let (file, text) = (String::from_utf8_lossy(&data[..end]), String::from_utf8_lossy(&data[end..]));
    let Ok(rules) = Rules::parse(&file) else { return };
    assert!(!rules.version().is_empty());
    let reading = rules.read(&text, Purpose::Transactional);
    for signal in &reading.signals {
        assert!((1..=100).contains(&signal.weight));
        assert!(file.contains(signal.rule.as_ref()) || file.contains('\\'), "{}", signal.rule);
    }
    assert_eq!(rules.read(&text, Purpose::Transactional).signals, reading.signals);
});
