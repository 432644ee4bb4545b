//! Keys: what may stand in a table, and what is to be said about it.

/// A key that a table may have.
///
/// Made by [`Key::new`] and completed by the rest, in tables of constants: these are what a file may say.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    name: &'static str,
    example: &'static str,
    about: &'static str,
    shape: Shape,
    required: bool,
    default: Option<&'static str>,
    live: bool,
}

/// What can stand behind a key, as far as an editor can tell right from wrong.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// Any text.
    Text,
    /// A label of a name: `n1`.
    Name,
    /// A service, with or without its namespace: `orders.shop`.
    Service,
    /// An IP address and a port.
    Socket,
    /// A time, written `1m 30s`.
    Time,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A whole number from the first to the second.
    Whole(u64, u64),
    /// True or false.
    Truth,
    /// A list of such things, at most so many.
    List(&'static Shape, usize),
    /// Texts by name, at most so many.
    Labels(usize),
    /// A table with these keys.
    Table(&'static [Key]),
    /// The same, or `false`.
    TableOrFalse(&'static [Key]),
    /// Any number of tables with these keys.
    Tables(&'static [Key]),
}

impl Key {
    /// A key, and what its line may look like: `state = "/var/lib/sinew"`, or more words to the same end.
    #[must_use]
    pub const fn new(name: &'static str, example: &'static str) -> Self {
        Self { name, example, about: "", shape: Shape::Text, required: false, default: None, live: false }
    }

    /// With what it is for, in a sentence or two.
    #[must_use]
    pub const fn about(self, about: &'static str) -> Self {
        Self { about, ..self }
    }

    /// With what can stand behind it; without this, any text.
    #[must_use]
    pub const fn shape(self, shape: Shape) -> Self {
        Self { shape, ..self }
    }

    /// The same key, which must be written.
    #[must_use]
    pub const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    /// With what is taken when it is not written, in words or as it would be written.
    #[must_use]
    pub const fn default(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }

    /// The same key, a change of which comes into force without a restart.
    #[must_use]
    pub const fn live(self) -> Self {
        Self { live: true, ..self }
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// A line that shows how it is written.
    #[must_use]
    pub const fn example(&self) -> &'static str {
        self.example
    }

    /// What it is for; empty for keys of files without a schema.
    #[must_use]
    pub const fn purpose(&self) -> &'static str {
        self.about
    }

    /// What can stand behind it.
    #[must_use]
    pub const fn takes(&self) -> Shape {
        self.shape
    }

    /// Whether it must be written.
    #[must_use]
    pub const fn is_required(&self) -> bool {
        self.required
    }

    /// What is taken when it is not written.
    #[must_use]
    pub const fn otherwise(&self) -> Option<&'static str> {
        self.default
    }

    /// Whether a change of it comes into force without a restart.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        self.live
    }
}
