{
  "targets": [
    {
      "target_name": "mendset",
      "sources": [
        "<!@(node -p \"const s=JSON.parse(require('fs').readFileSync('native/sources.json','utf8'));'core backend plain cpu select model addon'.split(' ').flatMap(g=>s[g]).join(' ')\")"
      ],
      "include_dirs": ["native", "native/include", "<!(node -p \"require('node-addon-api').include_dir\")"],
      "defines": [
        "NAPI_VERSION=8",
        "NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS",
        "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"
      ],
      "cflags_cc!": ["-fno-exceptions", "-fno-rtti", "-std=gnu++17", "-std=gnu++20"],
      "cflags_cc": [
        "-std=c++20",
        "-fexceptions",
        "-frtti",
        "-O3",
        "-fvisibility=hidden",
        "-ffp-contract=off",
        "-fno-math-errno",
        "-fno-trapping-math"
      ],
      "xcode_settings": {
        "CLANG_CXX_LANGUAGE_STANDARD": "c++20",
        "GCC_ENABLE_CPP_EXCEPTIONS": "YES",
        "GCC_ENABLE_CPP_RTTI": "YES",
        "GCC_SYMBOLS_PRIVATE_EXTERN": "YES",
        "OTHER_CPLUSPLUSFLAGS": ["-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
      },
      "conditions": [
        ["OS=='linux'", { "ldflags": ["-Wl,-z,nodelete", "-Wl,--exclude-libs,ALL"], "libraries": ["-ldl", "-lpthread"] }]
      ]
    }
  ]
}
