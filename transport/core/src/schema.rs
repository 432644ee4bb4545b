//! How names and numbers are described where an API is: text with a pattern, and a count.

use std::borrow::Cow;

use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::ids::{NodeName, Revision, ServiceName, TrustDomain, Zone};

/// 1 to 63 characters of a name.
macro_rules! label {
    () => {
        "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
    };
}

/// A name is text of a certain form.
macro_rules! described {
    ($type:ident, $description:literal, $pattern:expr) => {
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                let text = ObjectBuilder::new().schema_type(SchemaType::new(Type::String));
                text.description(Some($description)).pattern(Some($pattern)).into()
            }
        }

        impl ToSchema for $type {
            fn name() -> Cow<'static, str> {
                stringify!($type).into()
            }
        }
    };
}

described!(NodeName, "The name of a node.", concat!("^", label!(), "$"));
described!(Zone, "The name of a zone.", concat!("^", label!(), "$"));
described!(
    TrustDomain,
    "The naming root that one authority signs for.",
    concat!("^", label!(), r"(\.", label!(), ")*$")
);
described!(
    ServiceName,
    "The name of a service; outside the namespace `default` with its namespace: `orders.shop`.",
    concat!("^", label!(), r"(\.", label!(), ")?$")
);

impl PartialSchema for Revision {
    fn schema() -> RefOr<Schema> {
        let number = ObjectBuilder::new().schema_type(SchemaType::new(Type::Integer));
        let number = number.format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64))).minimum(Some(0));
        number.description(Some("The number of a state of the mesh; grows with every change.")).into()
    }
}

impl ToSchema for Revision {
    fn name() -> Cow<'static, str> {
        "Revision".into()
    }
}
