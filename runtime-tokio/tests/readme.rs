//! The README shows code that compiles.

#[test]
fn the_quick_start_of_the_readme_is_the_example() {
    let readme = include_str!("../../README.md");
    let example = include_str!("../examples/greet.rs");
    let code = example.split_once("\n\n").map(|(_about, code)| code).expect("code");
    let shown = readme.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next());
    assert_eq!(shown, Some(code));
}
