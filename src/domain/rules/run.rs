//! What stands between two signs of a text.

use crate::domain::fold::{LAST_SIGN, regional};

/// Letters and digits up to a sign.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) length: usize,
    /// There are digits.
    pub(super) digits: bool,
    /// There is nothing else.
    pub(super) number: bool,
    /// A letter comes three times in a row.
    pub(super) repeated: bool,
    /// Halves of flags are among the letters.
    pub(super) flags: bool,
}

/// A bit in each byte of a number: the lowest, the highest, all others.
const LOWEST: u64 = 0x0101_0101_0101_0101;
const HIGHEST: u64 = LOWEST << 7;
const OTHERS: u64 = !HIGHEST;

impl Run {
    /// The run that these letters begin with.
    #[inline]
    pub(super) fn of(letters: &[u8]) -> Self {
        letters
            .first_chunk()
            .and_then(|first| Self::short(u64::from_le_bytes(*first)))
            .unwrap_or_else(|| Self::long(letters))
    }

    /// The run that eight letters begin with, all of them looked at together; `None` when it does not end among them.
    ///
    /// The upper half of a byte tells what it is: none of its bits is set in a sign, one of the lower two in half of a flag,
    /// just these two in a digit, one of the upper two in a letter.
    #[inline]
    fn short(letters: u64) -> Option<Self> {
        let signs = zeros(letters & (LOWEST * 0xf0));
        if signs == 0 {
            return None;
        }
        let length = signs.trailing_zeros() / 8;
        let within = (1 << (length * 8)) - 1;
        let bit = |bit: u32| letters >> bit;
        let no_letters = !(bit(7) | bit(6)) & LOWEST & within;
        let digits = no_letters & bit(5) & bit(4);
        let differ = letters ^ (letters >> 8);
        Some(Self {
            length: length as usize,
            digits: digits != 0,
            number: digits == LOWEST & within,
            repeated: zeros(differ | (differ >> 8)) & (within >> 16) != 0,
            flags: digits != no_letters,
        })
    }

    fn long(letters: &[u8]) -> Self {
        let (mut run, mut before) = (Self { number: true, ..Self::default() }, [0; 2]);
        for &letter in letters.iter().take_while(|letter| **letter > LAST_SIGN) {
            let digit = letter.is_ascii_digit();
            run.length += 1;
            run.digits |= digit;
            run.number &= digit;
            run.repeated |= before == [letter; 2];
            run.flags |= regional(letter).is_some();
            before = [before[1], letter];
        }
        run
    }
}

/// The highest bit of each byte that is zero.
#[inline]
fn zeros(bytes: u64) -> u64 {
    !(((bytes & OTHERS) + OTHERS) | bytes) & HIGHEST
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{prop_assert_eq, proptest};
    use proptest::sample::select;

    use super::Run;

    proptest! {
        #[test]
        fn letters_together_are_what_they_are_one_by_one(
            letters in vec(select(b"\x01\x02\x08\x10\x1f\x2909aabz\x80\xa0\xa7\xca".as_slice()), 0..12),
        ) {
            prop_assert_eq!(Run::of(&letters), Run::long(&letters));
        }
    }
}
