//! Prints `docs/tables.md` from the column dictionary.

fn main() {
    print!("{}", store::dictionary::to_markdown());
}
