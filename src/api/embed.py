"""Makes a C source file with a JSON document in it: embed.py DOCUMENT NAME OUTPUT"""

import json
import sys

document, name, output = sys.argv[1:]
with open(document, encoding="utf-8") as file:
    text = json.dumps(json.load(file), separators=(",", ":"), ensure_ascii=True)
lines = [text[at : at + 96] for at in range(0, len(text), 96)]
with open(output, "w", encoding="ascii") as file:
    file.write("#include <stddef.h>\n")
    file.write(f"extern const unsigned char {name}[];\nextern const size_t {name}_size;\n")
    file.write(f"const unsigned char {name}[] = {{\n")
    for line in lines:
        file.write(",".join(str(ord(character)) for character in line) + ",\n")
    file.write(f"0}};\nconst size_t {name}_size = sizeof {name} - 1;\n")
