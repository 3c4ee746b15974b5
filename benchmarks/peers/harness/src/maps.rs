//! Helper 1 of the programs: a look-up by map type, in the tables of programs/native_map.h.

use std::sync::OnceLock;

const ELEMENTS: usize = 1024;
const BUCKETS: usize = 2 * ELEMENTS;
const NONE: u32 = u32::MAX;
const HASH: u64 = 1;

struct Element {
    next: u32,
    key: u32,
    value: u64,
}

struct Tables {
    values: Vec<u64>,
    buckets: Vec<u32>,
    elements: Vec<Element>,
}

static TABLES: OnceLock<Tables> = OnceLock::new();

fn tables() -> &'static Tables {
    TABLES.get_or_init(|| {
        let mut buckets = vec![NONE; BUCKETS];
        let mut elements = Vec::new();
        for key in 0..ELEMENTS as u32 {
            let bucket = hash(key) as usize % BUCKETS;
            elements.push(Element {
                next: buckets[bucket],
                key,
                value: 0,
            });
            buckets[bucket] = key;
        }
        Tables {
            values: vec![0; ELEMENTS],
            buckets,
            elements,
        }
    })
}

/// The hash of programs/native_map.h.
fn hash(mut key: u32) -> u32 {
    key ^= key >> 16;
    key = key.wrapping_mul(0x7feb_352d);
    key ^= key >> 15;
    key = key.wrapping_mul(0x846c_a68b);
    key ^ key >> 16
}

/// Return the address of a value, 0 where the key is not there. The engine runs one program on one thread, which
/// writes values through these addresses; nothing here reads them.
pub fn look_up(map_type: u64, key: u64, _: u64, _: u64, _: u64) -> u64 {
    let tables = tables();
    // Safe as far as the program is: it passes the address of a key on its stack.
    let key = unsafe { *(key as *const u32) };
    if map_type != HASH {
        return tables
            .values
            .get(key as usize)
            .map_or(0, |value| std::ptr::from_ref(value) as u64);
    }
    let mut index = tables.buckets[hash(key) as usize % BUCKETS];
    while index != NONE {
        let element = &tables.elements[index as usize];
        if element.key == key {
            return std::ptr::from_ref(&element.value) as u64;
        }
        index = element.next;
    }
    0
}

/// Where values are: the regions that a program may access besides its memory and its stack.
pub fn regions() -> [(u64, u64); 2] {
    let tables = tables();
    [region(&tables.values), region(&tables.elements)]
}

fn region<T>(table: &[T]) -> (u64, u64) {
    (table.as_ptr() as u64, std::mem::size_of_val(table) as u64)
}
