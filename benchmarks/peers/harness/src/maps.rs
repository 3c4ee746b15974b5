//! Helper 1 of the programs: a look-up by map type, in the tables of programs/native_map.h.

use std::sync::OnceLock;

const ELEMENTS: usize = 1024;
const BUCKETS: usize = 2 * ELEMENTS;
const SEED: u64 = 0x243f_6a88_85a3_08d3;
const HASH: u64 = 1;

#[derive(Clone, Default)]
struct Node {
    next: u32,
    _slot: u32,
    key: u32,
}

struct Tables {
    buckets: Vec<u32>,
    nodes: Vec<Node>,
    values: Vec<u64>,
}

static TABLES: OnceLock<Tables> = OnceLock::new();

fn tables() -> &'static Tables {
    TABLES.get_or_init(|| {
        let mut buckets = vec![0; BUCKETS];
        let mut nodes = vec![Node::default()];
        for key in 0..ELEMENTS as u32 {
            let bucket = &mut buckets[hash(key) as usize % BUCKETS];
            nodes.push(Node {
                next: *bucket,
                _slot: 0,
                key,
            });
            *bucket = key + 1;
        }
        Tables {
            buckets,
            nodes,
            values: vec![0; ELEMENTS + 1],
        }
    })
}

/// The hash of programs/native_map.h.
fn hash(key: u32) -> u64 {
    let product = u128::from(u64::from(key) ^ SEED) * 0x9e37_79b9_7f4a_7c15;
    product as u64 ^ (product >> 64) as u64
}

/// Return the address of a value, 0 where the key is not there. The engine runs one program on one thread, which
/// writes values through these addresses; nothing here reads them.
pub fn look_up(map_type: u64, key: u64, _: u64, _: u64, _: u64) -> u64 {
    let tables = tables();
    // Safe as far as the program is: it passes the address of a key on its stack.
    let key = unsafe { *(key as *const u32) };
    if map_type != HASH {
        return if (key as usize) < ELEMENTS {
            address(tables, key)
        } else {
            0
        };
    }
    let mut element = tables.buckets[hash(key) as usize % BUCKETS];
    while element != 0 {
        let node = &tables.nodes[element as usize];
        if node.key == key {
            return address(tables, element);
        }
        element = node.next;
    }
    0
}

fn address(tables: &Tables, number: u32) -> u64 {
    std::ptr::from_ref(&tables.values[number as usize]) as u64
}

/// Where values are: the region that a program may access besides its memory and its stack.
pub fn values() -> (u64, u64) {
    let values = &tables().values;
    (
        values.as_ptr() as u64,
        std::mem::size_of_val(&values[..]) as u64,
    )
}
