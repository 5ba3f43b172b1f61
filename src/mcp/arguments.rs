//! The arguments of a tool, from the JSON Schema that the server describes them with.

use rmcp::model::JsonObject;
use serde_json::Value;

use crate::text::Quote;

/// The maximum number of arguments that are read of one tool.
const MAX_ARGUMENTS: usize = 1_000;

/// The maximum depth. A schema can refer to itself.
const MAX_DEPTH: usize = 12;

/// The maximum number of schemas that are read of one tool.
const MAX_SCHEMAS: usize = 20_000;

/// An argument, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// The names of the objects' keys on the way to it. An element of an array has the path of the array.
    pub path: Vec<String>,
    /// Its types in JSON, such as `string` and `array of string`. Empty if the schema does not say.
    pub types: Vec<String>,
    /// Whether the object that contains it requires it.
    pub is_required: bool,
    /// The values that it can have, as JSON. Empty if it can have others.
    pub values: Vec<String>,
    /// What it is for.
    pub description: Option<Quote>,
}

/// The arguments that `schema` describes, in its order: each once, and each object before its parts.
#[must_use]
pub fn of_schema(schema: &JsonObject) -> Vec<Argument> {
    let mut reader = Reader {
        root: schema,
        found: Vec::new(),
        left: MAX_SCHEMAS,
        ancestors: vec![schema],
    };
    reader.object(schema, &[]);
    reader.found
}

struct Reader<'a> {
    root: &'a JsonObject,
    found: Vec<Argument>,
    /// How many more schemas are read: the server is not trusted.
    left: usize,
    /// The schemas on the way to the current one, which end a cycle.
    ancestors: Vec<&'a JsonObject>,
}

impl<'a> Reader<'a> {
    /// Reads the properties of an object, and those of its alternatives.
    fn object(&mut self, schema: &'a JsonObject, path: &[String]) {
        for schema in self.branches(schema) {
            let required = schema.get("required").and_then(Value::as_array);
            let is_required = |name: &String| {
                required
                    .into_iter()
                    .flatten()
                    .any(|key| key.as_str() == Some(name))
            };
            let properties = schema.get("properties").and_then(Value::as_object);
            for (name, property) in properties.into_iter().flatten() {
                let path: Vec<String> = path.iter().chain([name]).cloned().collect();
                self.argument(property, &path, is_required(name));
            }
        }
    }

    fn argument(&mut self, schema: &'a Value, path: &[String], is_required: bool) {
        let is_known = |known: &Argument| known.path == path;
        if self.found.len() >= MAX_ARGUMENTS
            || path.len() > MAX_DEPTH
            || self.found.iter().any(is_known)
        {
            return;
        }
        let branches = schema
            .as_object()
            .map_or_else(Vec::new, |schema| self.branches(schema));
        let description = branches
            .iter()
            .find_map(|branch| branch.get("description"))
            .and_then(Value::as_str)
            .map(Quote::new);
        let mut argument = Argument {
            path: path.to_owned(),
            types: Vec::new(),
            is_required,
            values: Vec::new(),
            description: description.filter(|text| !text.is_empty()),
        };
        let mut parts = Vec::new();
        for branch in branches {
            let elements = self.elements(branch);
            argument.types.extend(types(branch, &elements));
            let with_values = std::iter::once(&branch).chain(&elements);
            argument
                .values
                .extend(with_values.flat_map(|schema| values(schema)));
            parts.push(branch);
            parts.extend(elements);
        }
        argument.types.dedup();
        argument.values.dedup();
        self.found.push(argument);
        for part in parts {
            if !self
                .ancestors
                .iter()
                .any(|known| std::ptr::eq(*known, part))
            {
                self.ancestors.push(part);
                self.object(part, path);
                self.ancestors.pop();
            }
        }
    }

    /// The alternatives of the elements of an array.
    fn elements(&mut self, schema: &'a JsonObject) -> Vec<&'a JsonObject> {
        schema
            .get("items")
            .and_then(Value::as_object)
            .map_or_else(Vec::new, |items| self.branches(items))
    }

    /// A schema, what it refers to within the document, and its alternatives: each once.
    fn branches(&mut self, schema: &'a JsonObject) -> Vec<&'a JsonObject> {
        let mut branches: Vec<&JsonObject> = vec![schema];
        let mut read = 0;
        while let Some(schema) = branches.get(read).copied() {
            read += 1;
            let target = schema
                .get("$ref")
                .and_then(Value::as_str)
                .and_then(|reference| self.target(reference));
            let alternatives = ["anyOf", "oneOf", "allOf"]
                .into_iter()
                .filter_map(|key| schema.get(key).and_then(Value::as_array))
                .flatten();
            let further = target
                .into_iter()
                .chain(alternatives.filter_map(Value::as_object));
            for branch in further {
                if self.left == 0 {
                    return branches;
                }
                self.left -= 1;
                if !branches.iter().any(|known| std::ptr::eq(*known, branch)) {
                    branches.push(branch);
                }
            }
        }
        branches
    }

    fn target(&self, reference: &str) -> Option<&'a JsonObject> {
        let root = self.root;
        if reference == "#" {
            return Some(root);
        }
        let mut steps = reference.strip_prefix("#/")?.split('/');
        let plain = |step: &str| step.replace("~1", "/").replace("~0", "~");
        let first = root.get(&plain(steps.next()?))?;
        let target = steps.try_fold(first, |value, step| value.get(plain(step)))?;
        target.as_object()
    }
}

/// The types of a value, and of the elements of an array.
fn types(schema: &JsonObject, elements: &[&JsonObject]) -> Vec<String> {
    let of: Vec<&str> = elements.iter().flat_map(|element| names(element)).collect();
    names(schema)
        .into_iter()
        .map(|name| match name {
            "array" if !of.is_empty() => format!("array of {}", of.join(" or ")),
            name => name.to_owned(),
        })
        .collect()
}

fn names(schema: &JsonObject) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn values(schema: &JsonObject) -> impl Iterator<Item = String> {
    schema
        .get("enum")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .chain(schema.get("const"))
        .map(ToString::to_string)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn listed(schema: Value) -> String {
        let Value::Object(schema) = schema else {
            unreachable!("a schema is an object")
        };
        let arguments = of_schema(&schema).into_iter().map(|argument| {
            let required = if argument.is_required { "!" } else { "" };
            let (path, types) = (argument.path.join("."), argument.types.join("|"));
            format!("{path}{required} {types} {}", argument.values.join(","))
        });
        arguments.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn arguments_of_a_schema() {
        let schema = json!({
            "type": "object",
            "required": ["kind", "entity"],
            "properties": {
                "kind": {"enum": ["a", "b"], "type": "string"},
                "entity": {"$ref": "#/$defs/entity"},
                "names": {"type": "array", "items": {"type": "string"}},
                "rules": {"type": "array", "items": {"type": "object", "properties": {"x": {"const": 1}}}},
                "either": {"anyOf": [{"type": "number"}, {"type": "null"}]},
                "any": true,
            },
            "$defs": {"entity": {
                "type": "object",
                "required": ["id"],
                "properties": {"id": {"type": "string"}, "parent": {"$ref": "#/$defs/entity"}},
            }},
        });
        insta::assert_snapshot!(listed(schema), @r#"
        kind! string "a","b"
        entity! object 
        entity.id! string 
        entity.parent object 
        entity.parent.id! string 
        entity.parent.parent object 
        entity.parent.parent.id! string 
        entity.parent.parent.parent object 
        names array of string 
        rules array of object 
        rules.x  1
        either number|null 
        any
        "#);
    }

    #[test]
    fn an_endless_schema_ends() {
        let schema = json!({
            "properties": {"a": {"$ref": "#"}, "b": {"allOf": [{"$ref": "#/properties/b"}]}},
            "anyOf": [{"$ref": "#/anyOf/0"}],
        });
        assert!(of_schema(schema.as_object().unwrap()).len() <= MAX_ARGUMENTS);
        // Any JSON, as libraries describe it.
        let any = json!({
            "properties": {"v": {"type": "array", "items": {"$ref": "#/$defs/any"}}},
            "$defs": {"any": {"anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"$ref": "#/$defs/any"}},
                {"type": "object", "properties": {"a": {"$ref": "#/$defs/any"}, "b": {"$ref": "#/$defs/any"}}},
            ]}},
        });
        assert!(of_schema(any.as_object().unwrap()).len() <= MAX_ARGUMENTS);
        // Each level refers twice to the next one.
        let mut levels = serde_json::Map::new();
        for level in 0..40 {
            let next = json!({"$ref": format!("#/$defs/l{}", level + 1)});
            levels.insert(
                format!("l{level}"),
                json!({"anyOf": [next, next], "items": next}),
            );
        }
        let wide = json!({"properties": {"v": {"$ref": "#/$defs/l0"}}, "$defs": levels});
        assert_eq!(of_schema(wide.as_object().unwrap()).len(), 1);
    }
}
