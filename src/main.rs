//! The one program: reads the command line, sets up logging, and hands over to a command.
//!
//! Only this folder makes threads and runtimes. Each command is a file of its own: its arguments, and a
//! `run` that ends in an exit code. 0 is success, 1 failure, 2 wrong usage, 79 an unmet expectation.

fn main() {}
