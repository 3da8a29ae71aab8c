import js from "@eslint/js";

export default [
  js.configs.recommended,
  {
    rules: {
      "no-undef": "off", // tsc knows what a browser has
      "no-unused-vars": ["error", { argsIgnorePattern: "^_" }],
      "consistent-return": "error",
      "eqeqeq": "error",
      "max-lines-per-function": ["error", { max: 60 }],
      "no-duplicate-imports": "error",
      "no-shadow": "error",
      "no-var": "error",
      "prefer-const": "error",
    },
  },
];
