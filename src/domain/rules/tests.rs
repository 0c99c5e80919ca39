use super::Rules;

#[test]
fn the_built_in_rules_are_good() {
    assert!(!Rules::builtin().version().is_empty());
}
