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

/// What is left of a word. English loses a plural s, Arabic the article (with and, by, like, for before it) and up to two
/// endings.
#[inline]
pub(super) fn stem(word: &mut [u8]) -> &mut [u8] {
    if word.first().is_some_and(|byte| *byte >= 0x80) {
        let from = article(word);
        let to = word.len() - ending(&word[from..]);
        return &mut word[from..to];
    }
    match word {
        [_, _, before, b's'] | [_, _, .., before, b's'] if !matches!(before, b's' | b'u' | b'i') => {
            let to = word.len() - 1;
            &mut word[..to]
        }
        word => word,
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

/// The Arabic word without the letter or two that are written joined to it: what is left after one, and after a second.
#[inline]
pub(super) fn without_joined(word: &[u8]) -> [Option<&[u8]>; 2] {
    match word {
        [WAW, second, rest @ ..] if PROCLITICS.contains(second) => [Some(&word[1..]), Some(rest)],
        [first, rest @ ..] if *first == WAW || PROCLITICS.contains(first) => [Some(rest), None],
        _ => [None, None],
    }
}
