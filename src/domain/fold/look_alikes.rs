//! Characters that are taken for others: by look, as a reader does, not by sound or origin.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::LazyLock;

/// The zeros of the decimal digits that have no compatibility form; nine more follow each.
pub(super) const DIGIT_ZEROS: [u32; 24] = [
    0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50, 0xed0,
    0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0xa8d0, 0x104a0,
];

/// Alphabets in circles and squares without a compatibility form: the first character, and what it stands for.
pub(super) const LETTERS: [(u32, u8); 3] = [(0x1f150, b'a'), (0x1f170, b'a'), (0x1f130, b'a')];

/// What shows nothing, or nothing of its own: controls, joiners, fillers, selectors, direction marks, tatweel.
pub(super) const INVISIBLE: [RangeInclusive<char>; 21] = [
    '\u{e}'..='\u{1f}',
    '\u{7f}'..='\u{84}',
    '\u{86}'..='\u{9f}',
    '\u{ad}'..='\u{ad}',
    '\u{34f}'..='\u{34f}',
    '\u{61c}'..='\u{61c}',
    '\u{640}'..='\u{640}',
    '\u{6dd}'..='\u{6de}',
    '\u{115f}'..='\u{1160}',
    '\u{17b4}'..='\u{17b5}',
    '\u{180b}'..='\u{180f}',
    '\u{200b}'..='\u{200f}',
    '\u{202a}'..='\u{202e}',
    '\u{2060}'..='\u{206f}',
    '\u{3164}'..='\u{3164}',
    '\u{fe00}'..='\u{fe0f}',
    '\u{feff}'..='\u{feff}',
    '\u{ffa0}'..='\u{ffa0}',
    '\u{fff0}'..='\u{fffb}',
    '\u{1d173}'..='\u{1d17a}',
    '\u{e0000}'..='\u{e0fff}',
];

/// A letter and what is taken for it. Capitals are listed apart from small letters where the two look like different
/// letters (`Ν` is an N, `ν` a v).
const GROUPS: [(char, &str); 51] = [
    ('a', "аАαΑɑᴀɐꭺᎪꓮ⍺ⱥȺ"),
    ('b', "ЬьвВΒβɓʙƄƅƀᏴꓐЪъḅ"),
    ('c', "сСϲϹᴄᏟꓚⲥⲤƈȼҫҪ©ↄ"),
    ('d', "ԁԀɗđĐᴅᎠꓓժðɖ"),
    ('e', "еЕɛεΕЄєҽҼᴇᎬꓰ℮əǝɘƐэЭⲈⲉ"),
    ('f', "ƒғҒꓝϜϝꜰք"),
    ('g', "ɡցɢԌԍᏀꓖǥɠᵹ"),
    ('h', "һҺНнΗԋᎻꓧհʜħĦɦⲎ"),
    ('i', "іІιΙɩıɪᎥꙇɨⲒⲓɟ"),
    ('j', "јЈϳͿʝᴊᎫꓙɉյ"),
    ('k', "кКκΚᴋᏦꓗƙқҚҡӄĸⲕⲔ"),
    ('l', "ӏӀʟᏞꓡłŁɭƚǀɫⳑ"),
    ('m', "мМΜᴍᎷꓟɱϺϻⲘⲙ"),
    ('n', "ոռΝпПηɴꓠƞŋɲиИͷղⲚ"),
    ('o', "оОοΟσөӨᴏօටꓳഠøØɵⲟⲞჿסӧ°"),
    ('p', "рРρΡᴘᏢꓑþƿⲣⲢҏƥ"),
    ('q', "ԛԚɋզʠ"),
    ('r', "гГᴦɾʀᎡꓣяЯɍɼⲅ®"),
    ('s', "ѕЅꜱՏᏚꓢʂƨƧ"),
    ('t', "тТτΤᴛᎢꓔŧŦƭⲧⲦʈ†"),
    ('u', "υսᴜцʋՍꓴμʉЦ"),
    ('v', "νѵѴᴠᏙꓦⱱ"),
    ('w', "ѡѠԝԜɯᴡᎳꓪωшШщЩաⲱ"),
    ('x', "хХχΧꓫҳҲⲬⲭ"),
    ('y', "уУүΥγҮყʏᎽꓬƴɏұҰчЧⲨ"),
    ('z', "ᴢᏃꓜΖζƶʐʒⲌ"),
    ('ا', "ٱٲٳٵ"),
    ('ب', "ٻپٮٽ"),
    ('ت', "ٹٺټٿ"),
    ('ج', "چڃڄڇ"),
    ('ح', "ځڂڅ"),
    ('د', "ڈډڊڋڌڍڎڏ"),
    ('ر', "ړڔڕږڑڒڙ"),
    ('ز', "ژۯ"),
    ('س', "ښڛ"),
    ('ش', "ۺڜ"),
    ('ص', "ڝڞۻ"),
    ('ط', "ڟ"),
    ('ع', "ۼ"),
    ('غ', "ڠ"),
    ('ف', "ڡڢڣڤڥڦ"),
    ('ق', "ٯڧڨ"),
    ('ك', "کڪګڬڭڮگڰڱڲڳڴػؼ"),
    ('ل', "ڵڶڷڸ"),
    ('م', "۾"),
    ('ن', "ںڹڻڼڽ"),
    ('ه', "ةۀہۂۃھەۿ"),
    ('و', "ۄۅۆۇۈۉۊۋۏٶٷ"),
    ('ي', "ىیۍێېۑےۓؽؾؿٸ"),
    ('ء', "ٴ"),
    ('0', "〇"),
];

static LOOK_ALIKES: LazyLock<HashMap<char, char>> = LazyLock::new(|| {
    GROUPS.iter().flat_map(|(letter, likes)| likes.chars().map(move |like| (like, *letter))).collect()
});

/// The letter that the character is taken for.
pub(super) fn look_alike(c: char) -> Option<char> {
    LOOK_ALIKES.get(&c).copied()
}
