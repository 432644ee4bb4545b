//! How values of foreign types, and those that are text, are described in the API's OpenAPI document.
//!
//! What is described here says what callers may rely on; patterns are a little more lenient than the readers.

use std::borrow::Cow;

use serde_json::json;
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::resource::ResourceKey;

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::new(Type::String))
}

/// A schema that is not derived, under this name.
macro_rules! described {
    ($type:ident, $name:literal, $schema:expr) => {
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                $schema.into()
            }
        }

        impl ToSchema for $type {
            fn name() -> Cow<'static, str> {
                $name.into()
            }
        }
    };
}

/// A `SocketAddr`.
#[derive(Debug)]
pub(crate) struct Address;
described!(
    Address,
    "Address",
    text()
        .description(Some("An IP address and a port."))
        .pattern(Some(r"^(\d{1,3}(\.\d{1,3}){3}|\[[0-9a-fA-F:.%]+\]):\d{1,5}$"))
        .examples([json!("127.0.0.1:8080"), json!("[::1]:8080")])
);

/// An `IpAddr`.
#[derive(Debug)]
pub(crate) struct Ip;
described!(
    Ip,
    "Ip",
    text()
        .description(Some("An IP address without a port."))
        .pattern(Some(r"^(\d{1,3}(\.\d{1,3}){3}|[0-9a-fA-F:.]+)$"))
        .examples([json!("10.0.0.1")])
);

/// [`crate::snapshot::Labels`].
#[derive(Debug)]
pub(crate) struct LabelsSchema;
described!(
    LabelsSchema,
    "Labels",
    ObjectBuilder::new()
        .description(Some("Keys and values that describe an endpoint."))
        .additional_properties(Some(AdditionalProperties::RefOr(text().build().into())))
        .examples([json!({ "version": "v2" })])
);

/// A `Range<usize>` of bytes.
#[derive(Debug)]
pub(crate) struct Span;
described!(Span, "Span", {
    let byte = || ObjectBuilder::new().schema_type(SchemaType::new(Type::Integer)).minimum(Some(0));
    ObjectBuilder::new()
        .description(Some("A part of a text, in bytes: the first one, and the one behind the last."))
        .property("start", byte())
        .property("end", byte())
        .required("start")
        .required("end")
});

described!(
    ResourceKey,
    "ResourceKey",
    text()
        .description(Some("The name of a resource: its kind, and what it is called."))
        .pattern(Some(r"^(mesh|service/[^/]+|node/[^/]+|endpoint/[^/]+/[^/]+/[^/]+|listener/[^/]+/[^/]+)$"))
        .examples([
            json!("mesh"),
            json!("service/orders"),
            json!("node/n1"),
            json!("endpoint/n1/orders/127.0.0.1:8080"),
            json!("listener/n1/127.0.0.1:5001"),
        ])
);
