<?php
// Verifies a delivery of the gateway. PHP 8.0 or later, nothing but its own functions.
//
//     WEBHOOK_SECRET=… php php.php 'x-openclaw-signature: sha256=…' 'webhook-id: …' … < body

declare(strict_types=1);

const TOLERANCE = 300; // seconds

/**
 * Throws unless $body (exactly as it came: file_get_contents('php://input')) was sent by whoever has $secret, just now.
 * $headers: an array with lower-case names. Afterwards remember $headers['webhook-id']: a repeat has the same.
 */
function verify(array $headers, string $body, string $secret, int $now): void
{
    // Over the body alone, with the secret as it is written.
    $code = 'sha256=' . hash_hmac('sha256', $body, $secret);
    if (!hash_equals($code, $headers['x-openclaw-signature'] ?? '')) {
        throw new RuntimeException('X-OpenClaw-Signature does not match');
    }

    // Standard Webhooks: over id, time and body, so that an old request cannot be sent again.
    $timestamp = $headers['webhook-timestamp'] ?? '';
    if (!ctype_digit($timestamp) || abs($now - (int) $timestamp) > TOLERANCE) {
        throw new RuntimeException('webhook-timestamp is missing, or too far away');
    }
    $key = str_starts_with($secret, 'whsec_') ? base64_decode(substr($secret, 6)) : $secret;
    $signed = ($headers['webhook-id'] ?? '') . '.' . $timestamp . '.' . $body;
    $expected = 'v1,' . base64_encode(hash_hmac('sha256', $signed, $key, true));
    // While a secret is rotated there is one signature for each of two.
    foreach (explode(' ', $headers['webhook-signature'] ?? '') as $one) {
        if (hash_equals($expected, $one)) {
            return;
        }
    }
    throw new RuntimeException('webhook-signature does not match');
}

if (PHP_SAPI === 'cli' && realpath($_SERVER['SCRIPT_FILENAME']) === __FILE__) {
    $headers = [];
    foreach (array_slice($argv, 1) as $argument) {
        [$name, $value] = explode(':', $argument, 2);
        $headers[strtolower(trim($name))] = trim($value);
    }
    try {
        verify($headers, file_get_contents('php://stdin'), getenv('WEBHOOK_SECRET'), time());
        echo "verified\n";
    } catch (RuntimeException $error) {
        fwrite(STDERR, "refused: {$error->getMessage()}\n");
        exit(1);
    }
}
