//! Words without what only their grammar adds. Phrases and texts are cut alike, so it matters little that a cut word is
//! not always one of the language; what matters is that its forms become one.

const ALEF: u8 = 0xa7;
const BEH: u8 = 0xa8;
const TEH: u8 = 0xaa;
const AIN: u8 = 0xb9;
const FEH: u8 = 0xc1;
const KAF: u8 = 0xc3;
const LAM: u8 = 0xc4;
const MEEM: u8 = 0xc5;
const NOON: u8 = 0xc6;
const HEH: u8 = 0xc7;
const WAW: u8 = 0xc8;
const YEH: u8 = 0xca;

/// What remains of an Arabic word has at least this many letters.
const SHORTEST: usize = 3;
/// Joined to the front of an Arabic word without an article.
const PROCLITICS: [u8; 6] = [BEH, LAM, FEH, KAF, HEH, AIN];

/// Cuts the word that begins at `start` and ends the text. English loses a plural s, Arabic the article (with and, by,
/// like, for before it) and up to two endings.
#[inline]
pub(super) fn stem(text: &mut Vec<u8>, start: usize) {
    let word = &text[start..];
    if word.first().is_some_and(|byte| *byte >= 0x80) {
        let prefix = article(word);
        let keep = word.len() - ending(&word[prefix..]);
        text.truncate(start + keep);
        text.drain(start..start + prefix);
    } else if let [_, _, before, b's'] | [_, _, .., before, b's'] = word
        && !matches!(before, b's' | b'u' | b'i')
    {
        text.pop();
    }
}

/// How many letters at the front are article and conjunctions.
fn article(word: &[u8]) -> usize {
    let and = usize::from(word[0] == WAW && word.len() > SHORTEST + 1);
    let rest = &word[and..];
    let cut = match rest {
        [BEH | KAF | FEH | HEH | AIN, ALEF, LAM, ..] => 3,
        [ALEF | LAM, LAM, ..] => 2,
        _ => 0,
    };
    if rest.len() >= cut + SHORTEST { and + cut } else { and }
}

/// How many letters at the end are pronouns and plurals.
fn ending(word: &[u8]) -> usize {
    let mut left = word;
    for _ in 0..2 {
        left = match left {
            [rest @ .., first, second] if rest.len() >= SHORTEST && is_ending(*first, *second) => rest,
            [rest @ .., HEH | YEH | ALEF | KAF] if rest.len() >= SHORTEST => rest,
            _ => break,
        };
    }
    word.len() - left.len()
}

/// Endings of two letters: pronouns and plurals.
fn is_ending(first: u8, second: u8) -> bool {
    matches!(
        (first, second),
        (HEH, ALEF | MEEM)
            | (KAF, MEEM | NOON)
            | (NOON, ALEF)
            | (ALEF, TEH)
            | (WAW, ALEF | NOON)
            | (YEH, NOON | HEH)
            | (TEH, HEH)
    )
}

/// Whether a word may begin at `at`: after a space, or after a letter or two that Arabic writes joined to the next word.
#[inline]
pub(super) fn word_begins(text: &[u8], at: usize) -> bool {
    match text[..at] {
        [.., b' '] => true,
        [.., b' ', joined] => joined == WAW || PROCLITICS.contains(&joined),
        [.., b' ', WAW, joined] => PROCLITICS.contains(&joined),
        _ => false,
    }
}
